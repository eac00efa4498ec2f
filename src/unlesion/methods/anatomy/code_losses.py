"""What an imaging code has to be: read off again where it was drawn with, and blind to where things lie."""

from __future__ import annotations

import torch
from torch import Tensor

from unlesion.methods.anatomy.dal_network import DALNetwork
from unlesion.networks.draws import normal
from unlesion.networks.warp import random_warp


def recovery_error(
    network: DALNetwork, anatomy: Tensor, roi: Tensor, *, numbers: int, generator: torch.Generator
) -> Tensor:
    """How far a random code is from what is read off the anatomy drawn with it.

    Args:
        network: of the method.
        anatomy: (B, 1 + K, ...), which gets no gradient.
        roi: (B, 1, ...) bool.
        numbers: in a code.
        generator: of the random codes.

    Returns:
        The mean absolute difference, a scalar.
    """
    anatomy = anatomy.detach()
    wanted = normal((len(anatomy), numbers), generator=generator, device=anatomy.device)
    drawn = network.recoupler(anatomy, wanted) * roi
    found, _ = network.imaging(anatomy, drawn, roi)
    return (found - wanted).abs().mean()


def leak(
    network: DALNetwork,
    anatomy: Tensor,
    images: Tensor,
    roi: Tensor,
    mean: Tensor,
    *,
    generator: torch.Generator,
) -> Tensor:
    """How far a code moves when its image is warped.

    Args:
        network: of the method.
        anatomy: (B, 1 + K, ...), which gets no gradient.
        images: (B, 1, ...).
        roi: (B, 1, ...) bool.
        mean: (B, n) codes of the images as they are.
        generator: of the warps.

    Returns:
        The mean absolute difference, a scalar.
    """
    planes = torch.cat([anatomy.detach(), images, roi.to(images.dtype)], dim=1)
    warped = random_warp(planes, generator=generator)
    inside = warped[:, -1:] > 0.5
    classes = torch.cat([1.0 - inside.float(), warped[:, 1:-2]], dim=1)
    moved, _ = network.imaging(classes, warped[:, -2:-1], inside)
    return (moved - mean).abs().mean()
