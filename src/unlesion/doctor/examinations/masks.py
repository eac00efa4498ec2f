"""Lesion masks: their values, their place, and whether they agree with the label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from unlesion.doctor.examination import Measured, Seen, keys_where
from unlesion.doctor.finding import Finding
from unlesion.doctor.sight import Sight

# A lesion may reach a little over the outline that thresholding finds.
MOST_OUTSIDE = 0.2
# No lesion fills more of the object: what does is a mask of the organ, or an inverted one.
MOST_OF_OBJECT = 0.6


@dataclass(frozen=True)
class MaskFacts:
    """Distinct values; voxels above 0; part of them outside the object and the roi; part of the object."""

    values: tuple[float, ...]
    voxels: int
    outside: float
    outside_roi: float
    filled: float


class Masks(Measured):
    """Masks are 0 and one other value, lie on the object, and agree with the label."""

    name = "masks"

    def measure(self, sight: Sight) -> MaskFacts | None:
        mask = sight.mask
        if mask is None:
            return None
        values = tuple(float(value) for value in np.unique(mask)[:12])
        voxels = int((mask > 0).sum())
        if voxels == 0:
            return MaskFacts(values, 0, 0.0, 0.0, 0.0)
        near = ndimage.binary_dilation(
            sight.object, np.ones((3, 3, 1)), iterations=1 if sight.steps[0] > 1 else 2
        )
        places = tuple(index // step for index, step in zip(np.nonzero(mask > 0), sight.steps, strict=True))
        outside = 1.0 - float(near[places].mean())
        outside_roi = 0.0 if sight.roi is None else 1.0 - float((sight.roi[mask > 0] > 0).mean())
        size = float(sight.object.sum()) * float(np.prod(sight.steps))
        return MaskFacts(values, voxels, outside, outside_roi, voxels / max(size, 1.0))

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        known = self.known(seen)
        of = len(known)
        labelled = [(one, facts) for one, facts in known if "label" in one.entry.columns]
        healthy = [pair for pair in labelled if pair[0].entry.label == "healthy"]
        anomalous = [pair for pair in labelled if pair[0].entry.label == "anomalous"]
        contradicting = keys_where(healthy, lambda m: m.voxels > 0)
        if contradicting:
            yield Finding(
                code="mask.on-healthy",
                level="error",
                where=contradicting,
                what="labelled healthy, but the mask marks lesions",
                mend="correct the label or the mask: training would learn the lesions as healthy",
                of=len(healthy),
            )
        # In a store a small lesion may have vanished between its pixels; it knows of it.
        unseen = [pair for pair in anomalous if pair[1].voxels == 0]
        empty = tuple(one.key for one, _ in unseen if not one.entry.is_marked())
        if empty:
            yield Finding(
                code="mask.empty",
                level="warning",
                where=empty,
                what="labelled anomalous, but the mask is empty",
                mend="correct the label, or leave mask_path empty where nobody drew a mask",
                of=len(anomalous),
            )
        yield from self._values(known, of)
        outside = keys_where(known, lambda m: m.outside > MOST_OUTSIDE)
        if outside:
            worst = max(m.outside for _, m in known)
            yield Finding(
                code="mask.outside-image",
                level="warning",
                where=outside,
                what=f"more than {MOST_OUTSIDE:.0%} of the mask lies outside the object (worst: {worst:.0%})",
                mend="look at mask and image together: flipped, shifted, or of another scan?",
                of=of,
                value=worst,
            )
        beyond = keys_where(known, lambda m: m.outside_roi > MOST_OUTSIDE)
        if beyond:
            yield Finding(
                code="mask.outside-roi",
                level="warning",
                where=beyond,
                what=f"more than {MOST_OUTSIDE:.0%} of the mask lies outside the roi, where nothing is scored",
                mend="make the roi without cutting lesions away",
                of=of,
            )
        filling = keys_where(known, lambda m: m.filled > MOST_OF_OBJECT)
        if filling:
            yield Finding(
                code="mask.fills-image",
                level="warning",
                where=filling,
                what=f"the mask covers more than {MOST_OF_OBJECT:.0%} of the object",
                mend="check that it marks lesions and not the organ, and that it is not inverted",
                of=of,
            )
        yield from self._missing(seen)

    def _values(self, known: list[tuple[Seen, MaskFacts]], of: int) -> Iterable[Finding]:
        odd = keys_where(known, lambda m: any(v < 0 or v != round(v) for v in m.values))
        if odd:
            yield Finding(
                code="mask.not-labels",
                level="warning",
                where=odd,
                what="the mask holds fractions or negative values",
                mend="every value above 0 counts as lesion; threshold the mask yourself if that is not meant",
                of=of,
            )
        several = [
            (one, m)
            for one, m in known
            if one.key not in set(odd) and len([v for v in m.values if v > 0]) > 1
        ]
        if several:
            kinds = Counter(v for _, m in several for v in m.values if v > 0)
            shown = ", ".join(f"{value:g}" for value in sorted(kinds)[:6]) + (", …" if len(kinds) > 6 else "")
            yield Finding(
                code="mask.not-binary",
                level="warning",
                where=tuple(one.key for one, _ in several),
                what=f"the mask has several classes ({shown})",
                mend="every value above 0 counts as lesion; say in a column mask_values which do, if not all",
                of=of,
            )

    def _missing(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        anomalous = [one for one in seen if one.entry.label == "anomalous"]
        # A store keeps masks in its own way.
        without = tuple(
            one.key for one in anomalous if one.entry.mask_path is None and not one.entry.is_marked()
        )
        if without:
            yield Finding(
                code="mask.none",
                level="note",
                where=without,
                what="anomalous without a mask",
                mend="nothing, if the anomaly has no outline; voxel and lesion metrics leave these out",
                of=len(anomalous),
            )
