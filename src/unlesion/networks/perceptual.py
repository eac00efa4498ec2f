"""How differently two images look to a network, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def feature_distance(
    first: Sequence[Tensor], second: Sequence[Tensor], size: Sequence[int], *, unit: bool = True
) -> Tensor:
    """Squared distance of features, on the pixels of the image.

    At every point of a level the vector over its channels is scaled to length 1; the squared distance
    of two such vectors (0 to 4) is interpolated linearly to the image's pixels and averaged over the levels.

    Args:
        first: features of one image on every level, each (B, C_k, ...).
        second: the same of the other image.
        size: the image's pixels along each axis.
        unit: False leaves the vectors as long as they are and takes the mean over the channels, so that
            strong features count more.

    Returns:
        (B, 1, *size) float32, 0 to 4 where `unit`.

    Source: Zhang et al., The unreasonable effectiveness of deep features as a perceptual metric, CVPR 2018,
    eq. 1, with weights of 1.
    """
    mode = "bilinear" if len(size) == 2 else "trilinear"
    levels = []
    for a, b in zip(first, second, strict=True):
        if unit:
            unit_a, unit_b = (nn.functional.normalize(x.float(), dim=1, eps=1e-6) for x in (a, b))
            distance = (unit_a - unit_b).square().sum(1, keepdim=True)
        else:
            distance = (a.float() - b.float()).square().mean(1, keepdim=True)
        levels.append(nn.functional.interpolate(distance, size=tuple(size), mode=mode, align_corners=False))
    return torch.stack(levels).mean(0)
