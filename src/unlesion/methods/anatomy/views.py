"""Two views of one anatomy in different contrasts, and what the prior says of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unlesion.methods.anatomy.dal_config import DALConfig
from unlesion.methods.batch import Batch
from unlesion.networks.contrast_maps import random_contrast
from unlesion.networks.overlap import grouped
from unlesion.networks.tissue_prior import TissuePrior, tissue_order
from unlesion.networks.tissue_templates import template_prior


@dataclass(frozen=True, kw_only=True, eq=False)
class Views:
    """Pairs of images of the same anatomy.

    Attributes:
        first: (N, 1, ...) as scanned.
        second: (N, 1, ...) another channel of the same scan, or the same one under a random map.
        roi: (N, 1, ...) bool.
        tissues: (N, K, ...) soft classes by the prior, or None.
    """

    first: Tensor
    second: Tensor
    roi: Tensor
    tissues: Tensor | None


def channels_apart(images: Tensor) -> Tensor:
    """(B, C, ...) to (B · C, 1, ...), channel after channel of every image."""
    return images.flatten(0, 1)[:, None]


def joined(images: Tensor, channels: int) -> Tensor:
    """(B · C, 1, ...) back to (B, C, ...)."""
    return images[:, 0].unflatten(0, (-1, channels))


def make_views(prior: TissuePrior, batch: Batch, config: DALConfig, generator: torch.Generator) -> Views:
    """Every channel of a batch and another view of it."""
    channels = batch.images.shape[1]
    roi = batch.roi.repeat_interleave(channels, 0)
    images = batch.images * batch.roi
    tissues = None
    if config.prior != "none":
        tissues = soft_tissues(prior, batch, config).repeat_interleave(channels, 0)
    first = channels_apart(images)
    if channels > 1 and config.pairs != "maps":
        other = 1 + int(torch.randint(channels - 1, (), generator=generator))
        second = channels_apart(images.roll(other, 1))
    else:
        second = random_contrast(
            first,
            roi,
            generator=generator,
            tissues=None if tissues is None else grouped(tissues, config.tissues),
            strength=config.map_strength,
        )
    return Views(first=first, second=second, roi=roi, tissues=tissues)


def soft_tissues(prior: TissuePrior, batch: Batch, config: DALConfig) -> Tensor:
    """(B, K, ...) by the channel whose order of tissues is known, or by the first, of which no template says where they are."""
    known = [tissue_order(names, config.tissues) for names in batch.modality]
    rows = torch.arange(len(batch), device=batch.images.device)
    picked = batch.images[rows, torch.tensor([channel for channel, _ in known], device=rows.device)]
    place = None
    if config.prior == "template":
        place = template_prior(batch.roi, batch.position)
        # Numbered by brightness, classes are none of the template's tissues.
        unknown = torch.tensor([order is None for _, order in known], device=place.device)
        place[unknown] = 1.0 / config.tissues
    images = picked[:, None] * batch.roi
    return prior(images, batch.roi, batch.position, [order for _, order in known], place=place)
