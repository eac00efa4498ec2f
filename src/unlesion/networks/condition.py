"""Telling a network of which modality an image is: extra planes of an image, extra numbers of a code."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from unlesion.errors import BadInput
from unlesion.modality import UNNAMED, condition_name


def one_hot(
    modality: Sequence[Sequence[str]],
    known: Sequence[str],
    *,
    names: Sequence[str],
    device: torch.device | None = None,
) -> Tensor:
    """Which of the known modalities each image is of.

    Args:
        modality: names of the channels of each image.
        known: modalities as `condition_name` writes them.
        names: of the images, for the error.
        device: where to.

    Returns:
        (B, len(known)) float32, a single 1 a row.

    Raises:
        BadInput: the modality of an image is none of the known.
    """
    wanted = [condition_name(one) for one in modality]
    for one, name in zip(wanted, names, strict=True):
        if one not in known and one == UNNAMED:
            raise BadInput(
                f"{name}: its modality is not known, and this run tells {', '.join(known)} apart; give the scan in a "
                "manifest with a column modality"
            )
        if one not in known:
            raise BadInput(
                f"{name}: modality {one} is not one of those seen in training ({', '.join(known)}); "
                "correct the column modality of the manifest, or use a run that was trained on it"
            )
    places = {one: place for place, one in enumerate(known)}
    return torch.eye(len(known))[[places[one] for one in wanted]].to(device)


def with_planes(images: Tensor, condition: Tensor | None) -> Tensor:
    """Images (B, C, ...) and a constant plane for each number of their condition: (B, C + K, ...).

    Args:
        images: B may be a multiple of the condition's: batches alike one after another.
        condition: (B', K), or None for images as they are.
    """
    if condition is None:
        return images
    every = _as_many(condition, len(images)).to(images.dtype)
    planes = every.reshape(*every.shape, *[1] * (images.ndim - 2)).expand(-1, -1, *images.shape[2:])
    return torch.cat([images, planes], dim=1)


def with_numbers(codes: Tensor, condition: Tensor | None) -> Tensor:
    """Codes (B, n) with their condition at the end, (B, n + K); B and K as in `with_planes`."""
    if condition is None:
        return codes
    return torch.cat([codes, _as_many(condition, len(codes)).to(codes.dtype)], dim=1)


def _as_many(condition: Tensor, number: int) -> Tensor:
    if number % max(1, len(condition)):
        raise ValueError(f"{number} images cannot share {len(condition)} conditions")
    return condition.repeat(number // max(1, len(condition)), 1)


class Conditionable(nn.Module):
    """A network that can be told the modality of the images it is asked about.

    Attributes:
        condition: (B, K) one-hot, of the images to come; None for a network that knows of no modalities.
    """

    condition: Tensor | None = None

    def told(self, condition: Tensor) -> Self:
        """The same network, with the same parts, that knows the condition; this one stays as it is."""
        other = copy.copy(self)
        other.condition = condition
        return other

    def told_of(self, rows: slice) -> Self:
        """The same network, about to be asked about some of the images that it was told of."""
        return self if self.condition is None else self.told(self.condition[rows])
