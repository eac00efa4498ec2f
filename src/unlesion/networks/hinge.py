"""The game of generator and critic with hinges."""

from __future__ import annotations

from torch import Tensor, nn

from unlesion.networks.roi import roi_mean


def hinge_critic_loss(on_real: Tensor, on_drawn: Tensor, roi: Tensor) -> Tensor:
    """Mean of max(0, 1 - C(real)) + max(0, 1 + C(drawn)) inside the roi, a float32 scalar.

    Source: Lim & Ye, Geometric GAN, arXiv 1705.02894, 2017.
    """
    relu = nn.functional.relu
    return roi_mean(relu(1.0 - on_real.float()) + relu(1.0 + on_drawn.float()), roi)


def hinge_deception_loss(on_drawn: Tensor, roi: Tensor) -> Tensor:
    """Mean of -C(drawn) inside the roi."""
    return -roi_mean(on_drawn.float(), roi)
