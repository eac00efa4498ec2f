"""A quantile of what streams by."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningQuantile(nn.Module):
    """A histogram that forgets, kept in buffers, and quantiles read from it.

    Args:
        low: values below are counted as this.
        high: values above are counted as this.
        bins: of the histogram; a quantile is as exact as a bin is wide.
        decay: what remains of a batch's weight after the next one. It grows from 0.1 to this, as that of averaged
            weights does, so that short trainings do not remember their beginning.
    """

    counts: Tensor
    batches: Tensor

    def __init__(self, low: float, high: float, *, bins: int = 2048, decay: float = 0.99) -> None:
        super().__init__()
        self.low, self.high, self.decay = low, high, decay
        self.register_buffer("counts", torch.zeros(bins))
        self.register_buffer("batches", torch.zeros(()))

    @torch.no_grad()
    def add(self, values: Tensor) -> None:
        """Take note of a batch of values of any shape."""
        bins = len(self.counts)
        scaled = (values.float().flatten() - self.low) / (self.high - self.low) * bins
        # Before they become whole numbers: infinity has none.
        places = scaled.clamp(0, bins - 1).long()
        kept = ((1.0 + self.batches) / (10.0 + self.batches)).clamp(max=self.decay)
        self.counts.mul_(kept).add_(torch.bincount(places, minlength=bins))
        self.batches.add_(1.0)

    def read(self, share: float) -> Tensor:
        """The value below which `share` (0 to 1) of what streamed by lies; `low` where nothing did."""
        total = self.counts.sum()
        reached = (self.counts.cumsum(0) < share * total).sum()
        # The lower edge of the bin in which the share is reached: at most that share lies below.
        return self.low + (self.high - self.low) * reached / len(self.counts)
