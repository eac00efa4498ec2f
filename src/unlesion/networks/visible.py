"""Encoders that see only parts of an image: what is masked reaches no feature, at any layer.

This is what sparse convolutions do, written with dense ones: features at masked places are set to 0 after every
layer that mixes places, and batch statistics are taken over visible places alone. Afterwards the same weights see
whole images.

Source: Tian et al., Designing BERT for convolutional networks (SparK), ICLR 2023.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

# Layers that carry values from place to place.
MIXING = (nn.Conv2d, nn.Conv3d, nn.MaxPool2d, nn.MaxPool3d)


def draw_visible(
    number: int, grid: tuple[int, ...], *, masked: float, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Which cells of a coarse grid are shown, the same number in every image.

    Args:
        number: of images.
        grid: cells along each axis.
        masked: share of the cells that are hidden; at least one cell is hidden and one shown.
        generator: on the CPU.
        device: where to.

    Returns:
        (number, 1, *grid) bool.
    """
    cells = torch.Size(grid).numel()
    shown = min(max(1, round((1 - masked) * cells)), max(1, cells - 1))
    order = torch.rand((number, cells), generator=generator).argsort(1).argsort(1)
    return (order < shown).reshape(number, 1, *grid).to(device)


def on_grid(visible: Tensor, features: Tensor) -> Tensor:
    """`visible`, (B, 1, *cells), on the grid of features whose sides are multiples of it: (B, 1, ...) bool."""
    shown = visible
    for axis in range(2, features.ndim):
        shown = shown.repeat_interleave(features.shape[axis] // visible.shape[axis], dim=axis)
    return shown


class VisibleBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of images or volumes, over visible places alone within `visible_only`.

    Masked places come out as 0. Running statistics are those of images seen whole: an encoder that is frozen after
    it learnt from masked images is shown whole ones. Until it has seen one whole, they are as initialised.
    """

    visible: Tensor | None = None

    def forward(self, features: Tensor) -> Tensor:
        """(B, channels, ...) to the same."""
        if self.visible is None:
            return super().forward(features.flatten(2)).reshape(features.shape)
        shown = on_grid(self.visible, features)[:, 0]
        rows = features.movedim(1, -1)[shown]
        normed = self._of_these(rows) if len(rows) > 1 else rows
        result = torch.zeros_like(features)
        result.movedim(1, -1)[shown] = normed.to(features.dtype)
        return result

    def _of_these(self, rows: Tensor) -> Tensor:
        """(n, channels) to the same."""
        if not self.training:
            return super().forward(rows)
        return batch_norm(rows, None, None, self.weight, self.bias, training=True, eps=self.eps)


def with_visible_norms(module: nn.Module) -> nn.Module:
    """The same module, with batch normalisations that can keep to what is visible; weights are made anew."""
    for name, child in module.named_children():
        if isinstance(child, (nn.BatchNorm2d, nn.BatchNorm3d)):
            setattr(module, name, VisibleBatchNorm(child.num_features))
        else:
            with_visible_norms(child)
    return module


@contextmanager
def visible_only(module: nn.Module, visible: Tensor) -> Iterator[None]:
    """Within the block, a module's layers see and fill visible places alone; what it is given must be masked.

    Args:
        module: made by `with_visible_norms`, of convolutions, max pooling, and layers that act on each place alone
            and keep 0 as 0, such as ReLU.
        visible: (B, 1, *cells) bool; the sides of images and of all features are multiples of the cells.
    """

    def hide(layer: nn.Module, given: Any, features: Tensor) -> Tensor:
        return features * on_grid(visible, features)

    norms = [layer for layer in module.modules() if isinstance(layer, VisibleBatchNorm)]
    hooks = [layer.register_forward_hook(hide) for layer in module.modules() if isinstance(layer, MIXING)]
    for norm in norms:
        norm.visible = visible
    try:
        yield
    finally:
        for norm in norms:
            norm.visible = None
        for hook in hooks:
            hook.remove()
