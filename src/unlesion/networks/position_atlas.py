"""Healthy mean and standard deviation at every pixel and slice height, learnt in one pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlesion.networks.position_bins import bin_weights
from unlesion.networks.smoothing import gaussian_blur


class PositionAtlas(nn.Module):
    """Normative statistics by position; memory depends on the size of an image, not on their number.

    Call `begin`, then `add` for every batch, then `finish`; read with `forward`. What is learnt are
    buffers and travels with the state dict.

    Args:
        shape: (C, ...) of an image.
        bins: slice heights that are told apart.
        smooth: pixels by which the sums are blurred, so that neighbours lend each other samples.
        shrink: how many samples the statistics of all heights are worth at each height, and those
            of all pixels at each pixel.
        floor: smallest standard deviation, in grey values.
    """

    mean: Tensor
    deviation: Tensor
    samples: Tensor

    def __init__(
        self, shape: tuple[int, ...], *, bins: int, smooth: float, shrink: float, floor: float
    ) -> None:
        super().__init__()
        self.bins = bins
        self.smooth = smooth
        self.shrink = shrink
        self.floor = floor
        self.register_buffer("mean", torch.zeros(bins, *shape))
        self.register_buffer("deviation", torch.ones(bins, *shape))
        self.register_buffer("samples", torch.zeros(bins, 1, *shape[1:]))
        self._sums: tuple[Tensor, Tensor, Tensor] | None = None

    def begin(self) -> None:
        """Forget everything and start to count."""
        # Plain sums in float64: grey values of about 1 lose nothing, even over millions of images.
        self._sums = (
            torch.zeros_like(self.samples, dtype=torch.float64),
            torch.zeros_like(self.mean, dtype=torch.float64),
            torch.zeros_like(self.mean, dtype=torch.float64),
        )

    @torch.no_grad()
    def add(self, images: Tensor, roi: Tensor, position: Tensor) -> None:
        """Count healthy images (B, C, ...) inside their roi (B, 1, ...) at heights (B,)."""
        if self._sums is None:
            raise RuntimeError("call begin() before add()")
        weights = bin_weights(position, self.bins).double()
        inside = roi.double()
        values = images.double() * inside
        count, total, squares = self._sums
        count += torch.einsum("bk,b...->k...", weights, inside)
        total += torch.einsum("bk,b...->k...", weights, values)
        squares += torch.einsum("bk,b...->k...", weights, values * values)

    @torch.no_grad()
    def finish(self) -> None:
        """Turn the sums into means and standard deviations."""
        if self._sums is None:
            raise RuntimeError("call begin() before finish()")
        count, total, squares = (gaussian_blur(part, self.smooth) for part in self._sums)
        self._sums = None
        everywhere = tuple(range(2, total.ndim))
        # From coarse to fine, each level falling back on the one before where samples are few:
        # the whole image at all heights, this pixel at all heights, this pixel at this height.
        whole = _moments(*(part.sum((0, *everywhere), keepdim=True) for part in (count, total, squares)))
        pixel = _moments(
            *(part.sum(0, keepdim=True) for part in (count, total, squares)), prior=whole, worth=self.shrink
        )
        mean, square = _moments(count, total, squares, prior=pixel, worth=self.shrink)
        variance = (square - mean * mean).clamp(min=self.floor**2)
        self.samples.copy_(count)
        self.mean.copy_(mean)
        self.deviation.copy_(variance.sqrt())

    def forward(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation at heights (B,): two tensors (B, C, ...)."""
        weights = bin_weights(position, self.bins).to(self.mean.dtype)
        mean = torch.einsum("bk,k...->b...", weights, self.mean)
        deviation = torch.einsum("bk,k...->b...", weights, self.deviation)
        return mean, deviation


def _moments(
    count: Tensor,
    total: Tensor,
    squares: Tensor,
    *,
    prior: tuple[Tensor, Tensor] | None = None,
    worth: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """First and second moment, `prior` counting like `worth` samples, and alone where there are none."""
    if prior is None:
        weight = count.clamp(min=1e-12)
        return total / weight, squares / weight
    # A vanishing share of the prior decides where nothing was counted at all.
    worth = max(worth, 1e-9)
    weight = count + worth
    return (total + worth * prior[0]) / weight, (squares + worth * prior[1]) / weight
