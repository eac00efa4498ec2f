"""Gallery: the few cases that a page shows, kept beside the numbers so that it can be made again."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unlesion.archive import write_arrays
from unlesion.errors import BadInput
from unlesion.files import read_json, whole_folder, write_json

Kind = Literal["best", "lesion", "miss", "false_alarm", "healthy"]

KINDS: tuple[Kind, ...] = ("best", "lesion", "miss", "false_alarm", "healthy")


@dataclass(frozen=True, kw_only=True, eq=False)
class GalleryCase:
    """One slice of one scan, ready to be drawn.

    Attributes:
        key: name of the scan.
        kind: why it is shown: "best" found, typical "lesion", "miss", "false_alarm" or "healthy".
        image: (rows, columns) float32 in units of its window: 0 is drawn black, 1 white.
        healthy: like `image`, on the same window; None for methods that draw none.
        anomaly: (rows, columns) float32 in multiples of the threshold (see `Gallery.threshold`).
        truth: (rows, columns) bool, the annotated lesions, or None where nobody marked any.
        found: (rows, columns) bool, what was found at the threshold, or None.
        spacing: mm of a pixel along rows and columns (equal numbers where unknown).
        sides: of the patient at the left and right edge, such as ("R", "L"); None where nobody knows.
        channel: which one the grey images show, where the scan has several; "" where it has one.
        facts: what is printed beside it, such as {"Dice": "0.61", "score": "1.32"}, in order.
    """

    key: str
    kind: Kind
    image: NDArray[np.float32]
    anomaly: NDArray[np.float32]
    healthy: NDArray[np.float32] | None = None
    truth: NDArray[np.bool_] | None = None
    found: NDArray[np.bool_] | None = None
    spacing: tuple[float, float] = (1.0, 1.0)
    sides: tuple[str, str] | None = None
    channel: str = ""
    facts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("anomaly", "healthy", "truth", "found"):
            array = getattr(self, name)
            if array is not None and array.shape != self.image.shape:
                raise ValueError(f"{name} has shape {array.shape}, the image {self.image.shape}")

    def save(self, stem: Path) -> None:
        """Write `stem`.json and `stem`.npz; images in half precision, which is far below a grey level."""
        arrays: dict[str, NDArray[Any]] = {
            "image": np.clip(np.nan_to_num(self.image), -8, 8).astype(np.float16),
            "anomaly": np.clip(np.nan_to_num(self.anomaly), 0, 1000).astype(np.float16),
        }
        if self.healthy is not None:
            arrays["healthy"] = np.clip(np.nan_to_num(self.healthy), -8, 8).astype(np.float16)
        for name in ("truth", "found"):
            mask = getattr(self, name)
            if mask is not None:
                arrays[name] = np.packbits(mask)
        write_arrays(Path(f"{stem}.npz"), arrays, compressed=True)
        write_json(
            Path(f"{stem}.json"),
            {
                "key": self.key,
                "kind": self.kind,
                "spacing": list(self.spacing),
                "sides": None if self.sides is None else list(self.sides),
                "channel": self.channel,
                "facts": self.facts,
            },
        )

    @classmethod
    def load(cls, stem: Path) -> GalleryCase:
        """Read what `save` wrote.

        Raises:
            BadInput: missing or damaged.
        """
        words = read_json(Path(f"{stem}.json"))
        try:
            with np.load(f"{stem}.npz", allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in saved.files}
            image = arrays["image"].astype(np.float32)
            masks = {
                name: np.unpackbits(arrays[name], count=image.size).reshape(image.shape).astype(bool)
                for name in ("truth", "found")
                if name in arrays
            }
            if words["kind"] not in KINDS:
                raise ValueError(f"kind {words['kind']!r}")
            return cls(
                key=str(words["key"]),
                kind=words["kind"],
                image=image,
                anomaly=arrays["anomaly"].astype(np.float32),
                healthy=arrays["healthy"].astype(np.float32) if "healthy" in arrays else None,
                truth=masks.get("truth"),
                found=masks.get("found"),
                spacing=(float(words["spacing"][0]), float(words["spacing"][1])),
                # Older galleries do not say.
                sides=(str(words["sides"][0]), str(words["sides"][1])) if words.get("sides") else None,
                channel=str(words.get("channel") or ""),
                facts={str(name): str(value) for name, value in words["facts"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BadInput(f"{stem}.npz: damaged ({reason}); evaluate or train again") from error


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Cases on one common scale.

    Attributes:
        cases: what is shown.
        threshold: the map's value that `anomaly` = 1 stands for.
        calibrated: whether `threshold` is the one that 1 % of healthy voxels exceed; if not, it only
            fixes the colours.
        apart: whether every modality has a threshold of its own, and its maps are drawn in multiples of that.
        told: whether what is outlined as found is what somebody else's files say, not what lies above `threshold`.
    """

    cases: tuple[GalleryCase, ...]
    threshold: float
    calibrated: bool = True
    apart: bool = False
    told: bool = False

    def of(self, kind: Kind) -> list[GalleryCase]:
        """The cases of a kind, in order."""
        return [case for case in self.cases if case.kind == kind]

    def save(self, folder: Path) -> None:
        """Write all cases into `folder`, replacing what was there."""
        with whole_folder(Path(folder)) as partial:
            stems = []
            for number, case in enumerate(self.cases):
                name = re.sub(r"[^A-Za-z0-9]+", "-", case.key).strip("-")[-40:]
                stems.append(f"{number:02d}-{case.kind}-{name}")
                case.save(partial / stems[-1])
            write_json(
                partial / "gallery.json",
                {
                    "threshold": self.threshold,
                    "calibrated": self.calibrated,
                    "apart": self.apart,
                    "told": self.told,
                    "cases": stems,
                },
            )

    @classmethod
    def load(cls, folder: Path) -> Gallery:
        """Read what `save` wrote.

        Raises:
            BadInput: missing or damaged.
        """
        folder = Path(folder)
        words = read_json(folder / "gallery.json")
        try:
            stems = [str(stem) for stem in words["cases"]]
            threshold, calibrated = float(words["threshold"]), bool(words["calibrated"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"{folder / 'gallery.json'}: damaged ({error}); evaluate or train again"
            ) from error
        for stem in stems:
            if Path(stem).name != stem:
                raise BadInput(f"{folder / 'gallery.json'}: names a file outside its folder ({stem})")
        return cls(
            cases=tuple(GalleryCase.load(folder / stem) for stem in stems),
            threshold=threshold,
            calibrated=calibrated,
            # Older galleries do not say.
            apart=bool(words.get("apart", False)),
            told=bool(words.get("told", False)),
        )


def as_kind(case: GalleryCase, kind: Kind) -> GalleryCase:
    """The same case, shown for another reason."""
    return replace(case, kind=kind)
