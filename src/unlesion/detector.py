"""Detector: recipe + method + scorers + calibration, the one thing that is saved, loaded and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import unlesion
from unlesion.archive import save_tensors
from unlesion.batching import batches_of
from unlesion.calibration import RATES, Calibration, TrainingProfile
from unlesion.detection import Detection
from unlesion.errors import BadInput
from unlesion.files import read_json, write_json, write_text
from unlesion.methods.base import InputSpec, Method
from unlesion.methods.registry import get_method, read_card
from unlesion.modality import refuse_other_order
from unlesion.networks.precision import flushed_denormals
from unlesion.prepare import Prepared, Recipe
from unlesion.scans import Scan
from unlesion.scoring import ScanEvidence, Scorer, ScoringConfig, make_scorer, remove_small
from unlesion.settings import validated
from unlesion.wording import count

# Raised when an older run can no longer be read.
FORMAT = 1

# A scan may be flagged wrongly this often, unless told otherwise.
DEFAULT_ALPHA = 0.05

# The share of healthy voxels above the threshold of `lesions`, unless told otherwise.
DEFAULT_RATE = "fpr_001"


@dataclass(kw_only=True, eq=False)
class Detector:
    """Everything that detection needs.

    Attributes:
        recipe: how scans are made comparable.
        method: the method, with its settings.
        network: its trained network, in evaluation mode.
        scorers: "native" (the paper's own map) and, for methods that draw a healthy image, "shared"
            (plain |scan - healthy|).
        calibrations: one per scorer; empty before calibration.
        profile: what the training scans looked like, to warn about scans unlike them.
        record: what else is known about how it came about (cohort, steps, versions ...).
        seed: all randomness at inference derives from it and the scan's own name.
        name: how messages call the run.
    """

    recipe: Recipe
    method: Method
    network: nn.Module
    scorers: dict[str, Scorer]
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    profile: TrainingProfile | None = None
    record: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    name: str = ""

    def prepare(self, scan: Scan, prepared: Prepared | None = None) -> Prepared:
        """Bring a scan into the shape that the method learnt from.

        Args:
            scan: the scan.
            prepared: the scan already prepared by this detector's recipe, to save time.

        Raises:
            BadInput: the channels are others or in another order, or the recipe cannot handle the scan.
        """
        self._check_channels(scan.key, scan.channels, scan.modality)
        return self.recipe.prepare(scan) if prepared is None else prepared

    def doubts(self, prepared: Prepared) -> tuple[str, ...]:
        """In words, what reading and preparing noticed, and what is unlike the training scans."""
        unlike = () if self.profile is None else self.profile.warnings(prepared)
        return (*prepared.warnings, *unlike)

    def evidence(
        self, prepared: Prepared, *, device: str | torch.device = "cpu", everything: bool = False
    ) -> ScanEvidence:
        """What the method finds in a whole prepared scan; slices without any roi are skipped.

        Of own maps and codes there may be those only that the scorings read, unless `everything` is asked for.

        Raises:
            BadInput: the channels are not those trained on, or are in another order, or the region of
                interest is empty.
        """
        images = prepared.images
        self._check_channels(prepared.key, images.shape[1], prepared.modality)
        if not prepared.roi.any():
            raise BadInput(
                f"{prepared.key}: its region of interest is empty at the recipe's resolution; "
                "check roi_path, or choose another recipe"
            )
        slices = images.shape[0]
        network = self.network.to(device).eval()
        healthy: NDArray[np.float32] | None = None
        maps: dict[str, NDArray[np.float32]] = {}
        latent: dict[str, NDArray[np.float32]] = {}
        read = [scorer.wanted for scorer in self.scorers.values()]
        wanted = None if everything else frozenset[str]().union(*read)
        for where, batch in batches_of(prepared, seed=self.seed, wanted=wanted):
            with torch.no_grad(), flushed_denormals():
                found = self.method.explain(network, batch.to(device))
            if found.healthy is not None:
                healthy = images.copy() if healthy is None else healthy
                drawn = found.healthy.detach().float().cpu().numpy()
                healthy[where] = np.where(batch.roi.numpy(), drawn, images[where])
            for name, value in found.maps.items():
                full = maps.setdefault(name, np.zeros((slices, *images.shape[2:]), np.float32))
                full[where] = value.detach().float().cpu().numpy()
            for name, value in found.latent.items():
                code = value.detach().float().cpu().numpy()
                latent.setdefault(name, np.zeros((slices, code.shape[1]), np.float32))[where] = code
        return ScanEvidence(prepared=prepared, healthy=healthy, maps=maps, latent=latent)

    def detect(
        self,
        scan: Scan,
        *,
        prepared: Prepared | None = None,
        alpha: float | None = None,
        rate: str = DEFAULT_RATE,
        device: str | torch.device = "cpu",
    ) -> Detection:
        """Find what is unusual in a scan.

        Args:
            scan: what to look at.
            prepared: the scan already prepared by this detector's recipe, to save time.
            alpha: share of healthy scans that may be flagged; by default 0.05 where the calibration
                supports it, else none.
            rate: which healthy false-positive rate `lesions` uses ("fpr_0001" to "fpr_005").
            device: where the network runs.

        Returns:
            Arrays on the scan's own canonical grid.

        Raises:
            BadInput: the scan cannot be prepared, or `alpha` is below what the calibration allows.
        """
        prepared = self.prepare(scan, prepared)
        evidence = self.evidence(prepared, device=device)
        scorer = self.scorers["native"]
        on_slices = scorer.map(evidence)
        score = scorer.scan_score(on_slices, prepared.roi, latent=evidence.latent)
        anomaly = prepared.restore(on_slices)
        if not (np.isfinite(anomaly).all() and np.isfinite(score)):
            raise ValueError("the map or its score holds values that are not finite")
        healthy = None if evidence.healthy is None else prepared.restore_healthy(evidence.healthy)
        warnings = [*scan.warnings, *self.doubts(prepared)]
        calibration = self.calibrations.get("native")
        threshold, p_value, flagged = None, None, None
        if calibration is None:
            warnings.append(
                "the run is not calibrated: without a threshold nothing is decided about lesions, and there is no "
                "p-value; use `unlesion calibrate`"
            )
        else:
            if alpha is not None:
                calibration.check_alpha(alpha)
            # A scan is held against healthy ones of its own modality, where the run knows several.
            warnings += [words] if (words := calibration.unlike(scan.modality)) else []
            calibration = calibration.of(scan.modality)
            threshold = calibration.thresholds[rate]
            p_value = calibration.p_value(score)
            wanted = DEFAULT_ALPHA if alpha is None else alpha
            # A modality may have fewer healthy subjects than all together, which were asked above.
            alpha = wanted if calibration.supports(wanted) else None
            if alpha is None:
                warnings.append(calibration.why_not(wanted))
            else:
                flagged = p_value <= alpha
        roi = roi_of(scan, prepared)
        # The threshold is one of the roi's voxels, so it says nothing about those outside.
        lesions = np.zeros(anomaly.shape, bool) if threshold is None else (anomaly > threshold) & roi
        spacing = scan.grid.spacing if scan.grid.spacing_known else None
        lesions, components = remove_small(
            lesions,
            spacing=spacing,
            config=scorer.config.post,
            assumed_width_mm=self.assumed_width_mm(scan.modality),
        )
        return Detection(
            healthy=healthy,
            anomaly=anomaly,
            lesions=lesions,
            roi=roi,
            score=float(score),
            p_value=p_value,
            flagged=flagged,
            alpha=alpha if calibration is not None else None,
            threshold=threshold,
            volume_ml=float(lesions.sum()) * scan.grid.voxel_ml
            if spacing and threshold is not None and not scan.grid.is_flat
            else None,
            area_mm2=float(lesions.sum()) * scan.grid.pixel_mm2
            if spacing and threshold is not None and scan.grid.is_flat
            else None,
            components=None if threshold is None else components,
            warnings=tuple(dict.fromkeys(warnings)),
            sign=scorer.config.sign,
            rate=None if threshold is None else RATES[rate],
        )

    def maps(
        self, scan: Scan, prepared: Prepared, evidence: ScanEvidence
    ) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32], float]]:
        """Per scorer: the map on the scan's own grid with and without post-processing, and the score."""
        out = {}
        for name, scorer in self.scorers.items():
            after, before = scorer.map(evidence), scorer.map(evidence, post=False)
            score = scorer.scan_score(after, prepared.roi, latent=evidence.latent)
            out[name] = (prepared.restore(after), prepared.restore(before), float(score))
        return out

    def assumed_width_mm(self, modality: tuple[str, ...]) -> float:
        """How wide a picture of that modality is taken to be if it does not say."""
        return self.recipe.for_modality(modality).assumed_width_mm

    def check_order(self, modality: Sequence[str], *, what: str) -> None:
        """Refuse the channels of the training in another order; see `refuse_other_order`."""
        refuse_other_order(modality, self.method.spec.modalities, what=what)

    def _check_channels(self, key: str, channels: int, modality: Sequence[str]) -> None:
        self.check_order(modality, what=key)
        spec = self.method.spec
        if channels != spec.channels:
            trained = f"{spec.channels} ({', '.join(name or 'unnamed' for name in spec.modalities)})"
            raise BadInput(
                f"{key}: has {count(channels, 'channel')} but the run was trained on {trained}; use --channels"
            )

    def save(self, run: Path) -> None:
        """Write `detector.json`, `weights.safetensors` and `card.md` into the folder `run`."""
        run = Path(run)
        tensors = {f"network.{k}": v.detach().cpu().contiguous() for k, v in _state(self.network).items()}
        for name, scorer in self.scorers.items():
            for key, array in scorer.state_dict().items():
                tensors[f"scorer.{name}.{key}"] = torch.from_numpy(np.ascontiguousarray(array))
        save_tensors(run / "weights.safetensors", tensors)
        write_text(run / "card.md", read_card(self.method.name))
        spec = self.method.spec
        write_json(
            run / "detector.json",
            {
                "format": FORMAT,
                "unlesion": unlesion.__version__,
                "notice": "For research use only; not a medical device.",
                "method": {
                    "name": self.method.name,
                    "version": self.method.version,
                    "config": self.method.config.model_dump(mode="json"),
                    "citation": self.method.citation,
                    "deviations": list(self.method.deviations),
                },
                "input": {
                    "channels": spec.channels,
                    "size": spec.size,
                    "dims": spec.dims,
                    "modalities": list(spec.modalities),
                    "conditions": list(spec.conditions),
                },
                "seed": self.seed,
                "recipe": {"digest": self.recipe.digest, **self.recipe.model_dump(mode="json")},
                "scoring": {name: s.config.model_dump(mode="json") for name, s in self.scorers.items()},
                "calibration": {name: c.to_json() for name, c in self.calibrations.items()},
                "profile": None if self.profile is None else self.profile.to_json(),
                "record": self.record,
            },
        )

    @classmethod
    def load(cls, run: Path | str) -> Detector:
        """Read a run.

        Raises:
            BadInput: no run there, a damaged one, or one of another version.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        run = Path(run)
        if not (run / "detector.json").exists():
            if (run / "training.json").exists():
                raise BadInput(
                    f"{run}: its training is not finished; go on with the same command and --resume"
                )
            raise BadInput(f"{run}: not a run (no detector.json); make one with `unlesion train`")
        saved = read_json(run / "detector.json")
        if not isinstance(saved, dict) or saved.get("format") != FORMAT:
            raise BadInput(
                f"{run}: written by unlesion {_version_in(saved)} in a format that {unlesion.__version__} "
                "does not read; train again, or install that version"
            )
        try:
            method_class = get_method(saved["method"]["name"])
            if saved["method"]["version"] not in {method_class.version, *method_class.reads}:
                raise BadInput(
                    f"{run}: trained with version {saved['method']['version']} of {method_class.name!r}, this is "
                    f"version {method_class.version}; train again, or install unlesion {_version_in(saved)}"
                )
            config = validated(method_class.Config, saved["method"]["config"], what="method")
            given = saved["input"]
            # Older runs do not say which modalities they saw, and need not.
            names = {key: tuple(given.get(key, ())) for key in ("modalities", "conditions")}
            spec = InputSpec(**{**given, **names})
            recipe_values = {k: v for k, v in saved["recipe"].items() if k != "digest"}
            recipe = validated(Recipe, recipe_values, what="recipe")
            if recipe.digest != saved["recipe"]["digest"]:
                raise BadInput(
                    f"{run}: its recipe was changed after training (digest {saved['recipe']['digest']} does not "
                    "fit); restore detector.json or train again"
                )
            method = method_class(config, spec)
            network = method.build()
            tensors = load_file(run / "weights.safetensors")
            network.load_state_dict(_under(tensors, "network."))
            scorers = {}
            for name, values in saved["scoring"].items():
                scorers[name] = make_scorer(validated(ScoringConfig, values, what="scoring"))
                state = {k: v.numpy() for k, v in _under(tensors, f"scorer.{name}.").items()}
                scorers[name].load_state_dict(state)
            return cls(
                recipe=recipe,
                method=method,
                network=network.eval(),
                scorers=scorers,
                calibrations={k: Calibration.from_json(v) for k, v in saved["calibration"].items()},
                profile=None if saved["profile"] is None else TrainingProfile.from_json(saved["profile"]),
                record=saved["record"],
                seed=saved["seed"],
                name=run.name,
            )
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            RuntimeError,
            OSError,
            SafetensorError,
        ) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise BadInput(f"{run}: damaged run ({reason}); train again") from error

    def with_calibration(self, calibrations: Mapping[str, Calibration]) -> Detector:
        """The same detector with other thresholds and p-values."""
        return replace(self, calibrations=dict(calibrations))


def roi_of(scan: Scan, prepared: Prepared) -> NDArray[np.bool_]:
    """The region that counts in calibration and evaluation, on the scan's own grid.

    That is the roi which came with the scan; without one, the region the recipe found. The map is 0
    where the recipe looks away (scalp, skull), so a lesion there is honestly counted as missed.
    """
    if scan.roi is not None:
        return scan.roi
    return prepared.restore(prepared.roi.astype(np.float32)) > 0.5


def _state(network: nn.Module) -> dict[str, torch.Tensor]:
    # Copies, because safetensors refuses tensors that share memory.
    return {name: value.clone() for name, value in network.state_dict().items()}


def _under(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def _version_in(saved: Any) -> str:
    return str(saved.get("unlesion", "(unknown)")) if isinstance(saved, dict) else "(unknown)"
