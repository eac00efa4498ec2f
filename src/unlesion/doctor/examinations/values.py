"""Values of voxels: NaN, negative values around the object, intensity scales."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from unlesion.doctor.examination import Measured, Seen, keys_where
from unlesion.doctor.finding import Finding
from unlesion.doctor.sight import Sight, Voxels

# Negative voxels count as an edge effect if this part of them lies within 3 voxels of the object's outline.
AT_EDGE = 0.8
# Ratio of the brightest to the dimmest scan's level above which scales differ: scanners of one kind stay below.
SCALES_DIFFER = 1.5
# An image of so few whole numbers, mostly 0, is a mask of several classes.
MOST_CLASSES = 10


@dataclass(frozen=True)
class Values:
    """NaN and infinite voxels; negative ones, and the part at the object's edge; level of the object; mask or image."""

    nonfinite: int
    negative: int
    at_edge: float
    level: float
    flat: bool
    two_valued: bool


class VoxelValues(Measured):
    """NaN and infinity, negative values, masks among images, intensity scales that differ from scan to scan."""

    name = "values"

    def measure(self, sight: Sight) -> Values:
        image, negative, at_edge = sight.image, 0, 0.0
        # Where air is 0, as in skull-stripped files: elsewhere (CT) negative values are meant.
        if float(image.min()) < 0 and sight.background == 0:
            below = image < 0
            negative = int(below.sum())
            inside = image > 0.02 * float(np.percentile(image[::2, ::2, ::2], 99.5))
            plane = image.shape[2] == 1
            if plane:
                near = ndimage.binary_dilation(inside, np.ones((3, 3, 1)), iterations=3)
            else:
                near = ndimage.binary_dilation(inside, iterations=3)
            at_edge = float((below & near).sum()) / negative
        level = float(np.percentile(sight.coarse[sight.object], 90)) - min(sight.background, 0.0)
        two_valued = bool(((image == image.min()) | (image == image.max())).all()) or _is_labels(image)
        return Values(sight.nonfinite, negative, at_edge, level, sight.grid.is_flat, two_valued)

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        known = self.known(seen)
        broken = keys_where(known, lambda v: v.nonfinite > 0)
        if broken:
            yield Finding(
                code="voxels.not-finite",
                level="warning",
                where=broken,
                what="some voxels are NaN or infinite",
                mend="they count as 0; export the images again if they are many",
                of=len(known),
            )
        masks = keys_where(known, lambda v: v.two_valued)
        if masks:
            yield Finding(
                code="voxels.two-values",
                level="error",
                where=masks,
                what="two values, or a few labels, as in a mask: it would be learnt from, or judged, as a scan",
                mend="take masks out of the folder, or write a manifest and name them in mask_path",
                of=len(known),
            )
        ringing = keys_where(known, lambda v: v.negative > 0 and v.at_edge >= AT_EDGE)
        if ringing:
            yield Finding(
                code="voxels.negative-at-edge",
                level="note",
                where=ringing,
                what="negative values around the object, as interpolation leaves them",
                mend="nothing: they count as background",
                of=len(known),
            )
        yield from self._scales(known)

    def _scales(self, known: list[tuple[Seen, Values]]) -> Iterable[Finding]:
        groups: defaultdict[tuple[str, ...], list[tuple[str, float]]] = defaultdict(list)
        for one, values in known:
            # Pictures of 8 bit all have one scale; volumes come in the scanner's own units.
            if not values.flat and values.level > 0:
                groups[one.group].append((one.key, values.level))
        for modality, levels in groups.items():
            low, high = min(levels, key=_level), max(levels, key=_level)
            if len(levels) > 1 and high[1] > SCALES_DIFFER * low[1]:
                yield Finding(
                    code="voxels.scales-differ",
                    level="note",
                    where=(low[0], high[0]),
                    what=f"intensities of {', '.join(modality) or 'the volumes'} are not on one scale: "
                    f"{low[1]:.3g} to {high[1]:.3g} in tissue",
                    mend="let the recipe normalise them (every built-in recipe does)",
                    value=high[1] / low[1],
                )


def _level(pair: tuple[str, float]) -> float:
    return pair[1]


def _is_labels(image: Voxels) -> bool:
    """Whether an image holds a few whole numbers, most of them 0, as masks of several classes do."""
    values = np.unique(image[::2, ::2, ::2] if image.shape[2] > 1 else image)
    whole = bool((values == np.round(values)).all()) and float(values.min()) == 0
    return whole and 2 < len(values) <= MOST_CLASSES and float((image == 0).mean()) > 0.5
