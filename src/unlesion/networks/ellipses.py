"""Random filled ellipses: masks for an inpainter to learn from."""

from __future__ import annotations

import torch
from torch import Tensor

from unlesion.networks.draws import normal, uniform


def random_ellipses(
    roi: Tensor, *, number: int, mean: float, spread: float, least: float, generator: torch.Generator
) -> Tensor:
    """Ellipses (ellipsoids) in any direction, each image its own; they may overlap.

    Centres are uniform over the middle half of each axis; half axes are the magnitudes of normally
    distributed numbers, at least `least`.

    Args:
        roi: (B, 1, ...) bool; nothing outside is masked.
        number: of ellipses in an image, before the roi cuts some off.
        mean: of the normal distribution, in pixels.
        spread: its standard deviation, in pixels.
        least: the smallest half axis, in pixels.
        generator: all numbers come from here.

    Returns:
        (B, 1, ...) bool.
    """
    size, dims, device = roi.shape[2:], roi.ndim - 2, roi.device
    shape = (len(roi), number, dims)
    sides = torch.tensor(size, dtype=torch.float32, device=device)
    centres = (0.25 + 0.5 * uniform(shape, generator=generator, device=device)) * sides - 0.5
    axes = (mean + spread * normal(shape, generator=generator, device=device)).abs().clamp(min=least)
    frames = normal((*shape, dims), generator=generator, device=device)
    # An orthogonal basis of random vectors points in every direction alike.
    turns = torch.linalg.qr(frames).Q
    lines = [torch.arange(side, device=device, dtype=torch.float32) for side in size]
    points = torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1).reshape(-1, dims)
    mask = torch.zeros(len(roi), len(points), dtype=torch.bool, device=device)
    for centre, axis, turn in zip(centres.unbind(1), axes.unbind(1), turns.unbind(1), strict=True):
        along = (points[None] - centre[:, None]) @ turn
        mask |= (along / axis[:, None]).square().sum(-1) <= 1.0
    return mask.reshape(roi.shape) & roi
