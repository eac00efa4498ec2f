"""A convolution whose kernels are standardised before use."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlesion.networks.layers import layer


class StandardisedConv(nn.Module):
    """Convolution with mirrored borders and kernels of mean 0 and standard deviation 1.

    With a single input channel such a convolution cannot see the absolute grey level: its kernels
    sum to 0, so that a constant added to the image changes nothing.

    Args:
        inputs: channels in.
        outputs: channels out.
        dims: 2 or 3.
        kernel: width in pixels, odd.

    Source: Qiao et al., Micro-batch training with batch-channel normalization and weight
    standardization, arXiv 1903.10520.
    """

    def __init__(self, inputs: int, outputs: int, *, dims: int = 2, kernel: int = 3) -> None:
        super().__init__()
        self.pad = layer("ReflectionPad", dims)(kernel // 2)
        self.conv = layer("Conv", dims)(inputs, outputs, kernel)
        self.dims = dims

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, ...) to (B, outputs, ...) of the same size."""
        weight: Tensor = self.conv.weight  # type: ignore[assignment]
        axes = tuple(range(1, weight.ndim))
        # Statistics of the float32 kernels, also under autocast.
        spread, centre = torch.std_mean(weight, dim=axes, keepdim=True)
        weight = (weight - centre) / (spread + 1e-5)
        convolve = (nn.functional.conv2d, nn.functional.conv3d)[self.dims - 2]
        result: Tensor = convolve(self.pad(images), weight, self.conv.bias)  # type: ignore[arg-type]
        return result
