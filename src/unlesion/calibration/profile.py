"""TrainingProfile: what the training scans looked like, to warn about scans unlike them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unlesion.calibration.traits import TRAITS, Traits, contrast_distance, traits_of

# A scan is unlike the training scans beyond these.
CONTRAST_SLACK, RANGE_SLACK = 1.5, 1.25
# A distance up to this is never worth a warning: a large lesion alone can make one of 0.03, while another
# scanner's T1 lies at 0.05 and another sequence at 0.06 and more (malf_t1 against mslub).
CONTRAST_FLOOR = 0.04


class PlacementLike(Protocol):
    """The part of `unlesion.prepare.Placement` that is used here."""

    @property
    def matrix(self) -> NDArray[np.float64]: ...


class ProfiledScan(Protocol):
    """The part of `unlesion.prepare.Prepared` that is used here."""

    @property
    def images(self) -> NDArray[np.float32]: ...
    @property
    def roi(self) -> NDArray[np.bool_]: ...
    @property
    def spacing(self) -> tuple[float, float]: ...
    @property
    def slice_mm(self) -> float: ...
    @property
    def modality(self) -> tuple[str, ...]: ...
    @property
    def placement(self) -> PlacementLike: ...


class StoreLike(Protocol):
    """The part of `unlesion.prepare.PreparedStore` that is used here."""

    @property
    def images(self) -> NDArray[np.float16]: ...
    @property
    def roi(self) -> NDArray[np.uint8]: ...
    @property
    def slice_scan(self) -> NDArray[np.int64]: ...
    @property
    def scans(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, kw_only=True)
class TrainingProfile:
    """What is usual among the training scans.

    Attributes:
        histogram: per channel, the mean histogram of prepared intensities (shares that sum to 1).
        distance: distance from it that 95 % of the training scans keep.
        ranges: lowest and highest value of each trait in `TRAITS`.
        modality: names of the channels; none where the training scans were of several modalities.
        n_scans: number of training scans.
        parts: a profile of each modality, where there were several; a scan is held against its own.
    """

    histogram: tuple[tuple[float, ...], ...]
    distance: float
    ranges: Mapping[str, tuple[float, float]]
    modality: tuple[str, ...]
    n_scans: int
    parts: tuple[TrainingProfile, ...] = ()

    @classmethod
    def fit(cls, store: StoreLike, indices: NDArray[np.int64]) -> TrainingProfile:
        """From the slices `indices` of a prepared store, a scan at a time."""
        owners = store.slice_scan[indices]

        def scans() -> Iterable[Traits]:
            for scan in np.unique(owners):
                own, row = np.sort(indices[owners == scan]), store.scans[int(scan)]
                yield traits_of(
                    images=np.stack([store.images[i] for i in own]),
                    roi=np.stack([store.roi[i] for i in own]) > 0,
                    pixel_mm=(*row["spacing"][:2], row["slice_mm"]),
                    matrix=np.asarray(row["placement"], dtype=np.float64),
                    modality=tuple(row["modality"]),
                )

        return cls.fit_traits(scans())

    @classmethod
    def fit_scans(cls, scans: Iterable[ProfiledScan]) -> TrainingProfile:
        """From prepared scans, one at a time."""
        return cls.fit_traits(_traits(scan) for scan in scans)

    @classmethod
    def fit_traits(cls, scans: Iterable[Traits]) -> TrainingProfile:
        """From what was measured on each scan.

        Raises:
            ValueError: no scan has any pixel in its roi.
        """
        seen = [traits for traits in scans if traits.histogram is not None]
        if not seen:
            raise ValueError("no training scan to profile")
        parts = cls._fit_parts(seen)
        histograms = np.stack([t.histogram for t in seen if t.histogram is not None])
        mean = histograms.mean(axis=0)
        distances = [contrast_distance(one, mean) for one in histograms]
        ranges = {}
        for name in TRAITS:
            values = [t.values[name] for t in seen if name in t.values]
            if values:
                ranges[name] = (min(values), max(values))
        return cls(
            histogram=tuple(tuple(float(share) for share in channel) for channel in mean),
            distance=float(np.quantile(distances, 0.95)),
            ranges=ranges,
            modality=() if parts else seen[0].modality,
            n_scans=len(seen),
            parts=parts,
        )

    @classmethod
    def _fit_parts(cls, seen: Sequence[Traits]) -> tuple[TrainingProfile, ...]:
        """A profile of each modality; none where all scans have the same."""
        groups: dict[tuple[str, ...], list[Traits]] = {}
        for traits in seen:
            groups.setdefault(_plain(traits.modality), []).append(traits)
        return tuple(cls.fit_traits(groups[name]) for name in sorted(groups)) if len(groups) > 1 else ()

    def warnings(self, prepared: ProfiledScan) -> tuple[str, ...]:
        """In words, what about a scan is unlike the training scans; empty if nothing is."""
        traits = _traits(prepared)
        for part in self.parts:
            if _plain(part.modality) == _plain(traits.modality):
                return part._warnings(traits)
        unlike: tuple[str, ...] = ()
        if self.parts and any(traits.modality):
            ours = ", ".join("+".join(part.modality) or "unnamed" for part in self.parts)
            unlike = (f"modality unlike the training scans: {'+'.join(traits.modality)} (trained on {ours})",)
        return unlike + self._warnings(traits)

    def _warnings(self, traits: Traits) -> tuple[str, ...]:
        out = []
        unlike = [
            f"{theirs} (trained on {ours})"
            for theirs, ours in zip(traits.modality, self.modality, strict=False)
            if theirs and ours and theirs.casefold() != ours.casefold()
        ]
        if unlike:
            out.append(f"modality unlike the training scans: {', '.join(unlike)}")
        if traits.histogram is None:
            return (*out, "the region of interest is empty: nothing in this scan was looked at")
        if traits.histogram.shape == np.shape(self.histogram):
            found = contrast_distance(traits.histogram, np.asarray(self.histogram))
            if found > max(CONTRAST_SLACK * self.distance, CONTRAST_FLOOR):
                out.append(
                    f"contrast unlike the training scans: its histogram lies {found:.2g} from theirs, "
                    f"95 % of them within {self.distance:.2g}"
                )
        for name, trait in TRAITS.items():
            if name not in self.ranges or name not in traits.values:
                continue
            (low, high), value = self.ranges[name], traits.values[name]
            if value > high * RANGE_SLACK or (trait.least and value < low / RANGE_SLACK):
                out.append(
                    f"{trait.what} unlike the training scans: {value:.3g} {trait.unit}, "
                    f"theirs {low:.3g} to {high:.3g} {trait.unit}"
                )
        return tuple(out)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "histogram": [[round(share, 6) for share in channel] for channel in self.histogram],
            "distance": self.distance,
            "ranges": {name: list(pair) for name, pair in self.ranges.items()},
            "modality": list(self.modality),
            "n_scans": self.n_scans,
            **({"parts": [part.to_json() for part in self.parts]} if self.parts else {}),
        }

    @classmethod
    def from_json(cls, saved: Any) -> TrainingProfile:
        """From `to_json`.

        Raises:
            ValueError: it is something else.
        """
        try:
            return cls(
                histogram=tuple(tuple(float(s) for s in channel) for channel in saved["histogram"]),
                distance=float(saved["distance"]),
                ranges={name: (float(p[0]), float(p[1])) for name, p in saved["ranges"].items()},
                modality=tuple(str(name) for name in saved["modality"]),
                n_scans=int(saved["n_scans"]),
                parts=tuple(cls.from_json(part) for part in saved.get("parts", ())),
            )
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError("not a training profile") from error


def _plain(modality: Sequence[str]) -> tuple[str, ...]:
    """Names of channels, without regard to case."""
    return tuple(name.casefold() for name in modality)


def _traits(scan: ProfiledScan) -> Traits:
    return traits_of(
        images=scan.images,
        roi=scan.roi,
        pixel_mm=(*scan.spacing, scan.slice_mm),
        matrix=scan.placement.matrix,
        modality=scan.modality,
    )
