"""How unlike the patches of two images are, when a patch may be looked for in the neighbourhood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor, nn

from unlesion.networks.differences import slope
from unlesion.networks.smoothing import gaussian_blur

# Black and white are a quarter turn apart.
TURN = math.pi / 2
# Grey values beyond these would come round to others.
LOWEST, HIGHEST = -0.5, 1.5
# Of the filters: their blur in pixels, and how much slopes count beside grey values.
FILTER_SIGMA, SLOPE_WEIGHT = 0.7, 1.0


def grey_code(images: Tensor) -> Tensor:
    """Each grey value as a direction: (B, 1, ...) to (B, 2, ...), cosine and sine of 90 degrees times the value.

    The cosine of two plain grey patches is blind to brightness: an evenly bright patch and an evenly dark one
    agree perfectly. Directions make the cosine see it: it falls with the difference of grey values, alike for
    dark and bright tissue.
    """
    angle = TURN * images.clamp(LOWEST, HIGHEST)
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def filter_code(images: Tensor) -> Tensor:
    """Grey codes of the slightly blurred image and its slopes: (B, 1, ...) to (B, 2 + axes, ...).

    The blur forgives the finest texture, the slopes see borders of little contrast.
    """
    blurred = gaussian_blur(images, FILTER_SIGMA)
    slopes = [SLOPE_WEIGHT * slope(blurred, axis) for axis in range(2, images.ndim)]
    return torch.cat([grey_code(blurred), *slopes], dim=1)


def patch_dissimilarity(
    first: Tensor, second: Tensor, *, size: Sequence[int], reach: Sequence[int]
) -> Tensor:
    """One minus the cosine of each patch with the likest one nearby in the other image.

    score(u) = min over v, |v - u| <= reach along each axis, of 1 - cos(phi(first, u), phi(second, v)), where phi
    stacks the codes of all pixels of a patch. A pixel gets the mean over the patches that cover it.

    Args:
        first: codes of each pixel, (B, K, ...), nowhere 0; 2-D or 3-D.
        second: the same of the other image.
        size: pixels of a patch along each axis; cut to the image.
        reach: how far the other patch may lie, in pixels along each axis; 0 only where the first one lies.

    Returns:
        (B, 1, ...) float32, 0 (alike) to 2.

    Source: the patch scoring of AREPAS (arXiv 2509.12905) as its abstract describes it.
    """
    shape = first.shape[2:]
    size = [min(a, b) for a, b in zip(size, shape, strict=True)]
    first, second = first.float(), second.float()
    lengths = [_boxed(codes.square().sum(1, keepdim=True), size).sqrt() for codes in (first, second)]
    best = torch.full_like(lengths[0], -1.0)
    for shift in product(*(range(-far, far + 1) for far in reach)):
        if any(abs(step) > total - width for step, total, width in zip(shift, shape, size, strict=True)):
            continue
        here, there = _overlap(shift)
        agreed = _boxed((first[here] * second[there]).sum(1, keepdim=True), size)
        cosine = agreed / (lengths[0][here] * lengths[1][there])
        best[here] = torch.maximum(best[here], cosine)
    return _spread((1.0 - best).clamp(min=0.0, max=2.0), size)


def _overlap(shift: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a pixel and the one `shift` away are both inside: the slices of the one, and of the other."""
    here = tuple(slice(max(0, -step), -step if step > 0 else None) for step in shift)
    there = tuple(slice(max(0, step), step if step < 0 else None) for step in shift)
    both = (slice(None), slice(None))
    return both + here, both + there


def _boxed(values: Tensor, size: Sequence[int]) -> Tensor:
    """Means over all boxes that lie inside, axis by axis: (B, 1, n, ...) to (B, 1, n - size + 1, ...)."""
    dims = values.ndim - 2
    pool = (nn.functional.avg_pool2d, nn.functional.avg_pool3d)[dims - 2]
    for axis, width in enumerate(size):
        window = [1] * dims
        window[axis] = width
        if width > 1:
            values = pool(values, window, stride=1)
    return values


def _spread(scores: Tensor, size: Sequence[int]) -> Tensor:
    """From one score a patch to one a pixel: the mean over the patches that cover it."""
    padding = [width - 1 for width in reversed(size) for _ in range(2)]

    def total(values: Tensor) -> Tensor:
        return _boxed(nn.functional.pad(values, padding), size)

    return total(scores) / total(torch.ones_like(scores))
