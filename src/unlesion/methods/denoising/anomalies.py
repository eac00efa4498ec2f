"""Synthetic anomalies of graded strength over healthy images, as DISYRE draws them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from unlesion.methods.batch import Batch
from unlesion.networks.draws import normal, uniform
from unlesion.synthesis import batched

Kind = Literal["patch", "texture", "bias"]
Shape = Literal["box", "ball", "blob"]

# Grey values end here, as the recipe has it.
BRIGHTEST = 1.5
# The published sizes are pixels of patches of this side; here they are shares of the image's side.
SIDE = 128
# Turned by up to so much (radians), so often.
TURN, TURNED = math.radians(15), 0.5
# How often the border is softened.
SOFTENED = 0.7
# A softened shape ends where less than this is left of it; a Gaussian never does.
LEAST = 1e-3
# Waves of a blob's outline, k = 2, 3, ...: each up to so much divided by k.
WAVES, WAVINESS = 4, 0.25
# Pixels of a patch of 128 x 128 added to a shape's when tissue is chosen.
RELUCTANCE = 1000 / SIDE**2
# Blur of chosen tissue, pixels of a patch.
TISSUE_BLUR = 1.0 / SIDE


@dataclass(frozen=True, kw_only=True, eq=False)
class Corrupted:
    """Healthy images with anomalies over them.

    Attributes:
        images: (B, C, ...), the healthy ones outside the shapes, exactly.
        strength: (B,) 0 to 1, the larger of the next two: what the network is told.
        blended: (B,) share of foreign grey values where the shape is 1, which soft shapes of a few pixels do not reach; 0 if that
            changed nothing.
        biased: (B,) largest change of grey value by brightening or darkening.
        shape: (B, 1, ...) from 0 to 1, where; 0 outside the roi.
    """

    images: Tensor
    strength: Tensor
    blended: Tensor
    biased: Tensor
    shape: Tensor


@dataclass(frozen=True, kw_only=True)
class GradedAnomalies:
    """Draws an anomaly for every image of a batch: a shape, what it is filled with, and how strongly.

    Attributes:
        kinds: "patch" fills with a piece of another image, "texture" with one whose range of grey values is fitted
            first, "bias" brightens or darkens tissue. Where both of the first two are given, an image gets one of
            them; "bias" comes on top.
        shapes: equally likely: cuboids, balls, and irregular blobs.
        sides: range of a cuboid's sides and a ball's diameter, shares of the image's side.
        blob_sides: range of a blob's mean diameter, share of the image's side.
        softness: largest standard deviation of a border's blur, share of the image's side.
        tissues: classes of grey value that a bias chooses among; 1: it falls on whatever is there.
        bias: largest change by brightening or darkening, in grey values; 1 as published, which takes most tissue to black.
        weak: share of the images whose anomaly is weaker, by the third power of a random number from 0 to 1.

    Source: Naval Marimont et al., DISYRE (ISBI 2024) and its v2 (MICCAI 2024).
    """

    kinds: tuple[Kind, ...] = ("texture", "bias")
    shapes: tuple[Shape, ...] = ("box", "ball", "blob")
    sides: tuple[float, float] = (10 / SIDE, 44 / SIDE)
    blob_sides: tuple[float, float] = (36 / SIDE, 64 / SIDE)
    softness: float = 5 / SIDE
    tissues: int = 5
    bias: float = 1.0
    weak: float = 0.0

    def over(self, batch: Batch, *, generator: torch.Generator) -> Corrupted:
        """Anomalies over a batch of healthy images.

        Args:
            batch: whose images lend each other pieces, if possible of another scan of the same modality.
            generator: all numbers come from here.
        """
        # Half of the digits would be lost in matrix products otherwise.
        with torch.no_grad(), torch.autocast(batch.images.device.type, enabled=False):
            draw = _Draw(batch, generator)
            images = batch.images.float() * batch.roi
            centre = batched.place_inside(batch.roi, draw.share())
            shape = self._shape(batch, centre, draw)
            none = images.new_zeros(len(images))
            faint = torch.where(draw.share() < self.weak, draw.share() ** 3, 1.0) if self.weak else none + 1.0
            blended = biased = none
            changed = images
            if {"patch", "texture"} & set(self.kinds):
                foreign = self._foreign(images, batch, centre, shape, draw)
                blended = draw.share() * faint
                changed = batched.blend(images, foreign, shape * _wide(blended, images))
                blended = blended * (changed != images).flatten(1).any(1)
            if "bias" in self.kinds:
                changed, biased = self._biased(changed, batch, shape, faint, draw)
            strength = torch.maximum(blended, biased).clamp(max=1.0)
        return Corrupted(images=changed, strength=strength, blended=blended, biased=biased, shape=shape)

    def _shape(self, batch: Batch, centre: Tensor, draw: _Draw) -> Tensor:
        """(B, 1, ...) from 0 to 1."""
        sides, dims = tuple(batch.images.shape[2:]), batch.images.ndim - 2
        side = float(max(sides))
        offset = batched.offsets(sides, centre)
        kind = draw.below(len(self.shapes))
        inside = torch.zeros_like(batch.roi)
        for number, name in enumerate(self.shapes):
            mask = self._outline(name, offset, side, dims, draw)
            inside = torch.where(_wide(kind == number, mask), mask, inside)
        sigma = self.softness * side * draw.share() * (draw.share() < SOFTENED)
        soft = batched.blur_each((inside & batch.roi).float(), sigma).clamp(0.0, 1.0) * batch.roi
        return torch.where(soft < LEAST, 0.0, soft)

    def _outline(self, name: Shape, offset: Tensor, side: float, dims: int, draw: _Draw) -> Tensor:
        if name == "box":
            angles = TURN * (2 * draw.share(dims * (dims - 1) // 2) - 1) * (draw.share(1) < TURNED)
            low, high = self.sides
            return batched.box(batched.turned(offset, angles), side * (low + (high - low) * draw.share(dims)))
        if name == "ball":
            low, high = self.sides
            return batched.ball(offset, side * (low + (high - low) * draw.share()))
        low, high = self.blob_sides
        most = WAVINESS / torch.arange(2, 2 + WAVES, device=offset.device)
        return batched.blob(
            offset,
            side * (low + (high - low) * draw.share()),
            most * draw.share(WAVES),
            draw.direction(WAVES, dims),
        )

    def _foreign(self, images: Tensor, batch: Batch, centre: Tensor, shape: Tensor, draw: _Draw) -> Tensor:
        """Pieces of other images, a random place of theirs brought to the shape's centre."""
        other = draw.others()
        source = batched.place_inside(batch.roi[other], draw.share())
        foreign = batched.shifted(images[other], source, centre)
        if "texture" not in self.kinds:
            return foreign
        fitted = batched.match_range(foreign, images, shape > 0).clamp(0.0, BRIGHTEST)
        if "patch" not in self.kinds:
            return fitted
        return torch.where(_wide(draw.share() < 0.5, images), fitted, foreign)

    def _biased(
        self, images: Tensor, batch: Batch, shape: Tensor, faint: Tensor, draw: _Draw
    ) -> tuple[Tensor, Tensor]:
        channels, sides = images.shape[1], images.shape[2:]
        side = float(max(sides))
        amount = (
            self.bias
            * draw.share(channels)
            * torch.where(draw.share(channels) < 0.5, -1.0, 1.0)
            * faint[:, None]
        )
        fraction = shape.expand_as(images)
        if self.tissues > 1:
            classes = batched.grey_classes(images, batch.roi, classes=self.tissues, brightest=BRIGHTEST)
            chance = draw.share(channels * self.tissues).reshape(-1, channels, self.tissues)
            pixels = float(math.prod(sides))
            tissue = batched.choose_classes(classes, shape > 0, chance, reluctance=RELUCTANCE * pixels)
            sigma = torch.full((len(images),), TISSUE_BLUR * side, device=images.device)
            fraction = shape * batched.blur_each(tissue.float(), sigma).clamp(0.0, 1.0)
        return batched.add_within(images, fraction, amount, brightest=BRIGHTEST)


class _Draw:
    """Random numbers for every image of a batch."""

    def __init__(self, batch: Batch, generator: torch.Generator) -> None:
        self.batch, self.generator = batch, generator
        self.device = batch.images.device

    def share(self, *shape: int) -> Tensor:
        """(B, *shape) uniform in [0, 1)."""
        return uniform((len(self.batch), *shape), generator=self.generator, device=self.device)

    def below(self, number: int) -> Tensor:
        """(B,) whole numbers from 0, all equally likely."""
        return (self.share() * number).long().clamp(max=number - 1)

    def direction(self, number: int, dims: int) -> Tensor:
        """(B, number, dims), all directions equally likely."""
        return normal((len(self.batch), number, dims), generator=self.generator, device=self.device)

    def others(self) -> Tensor:
        """(B,) for each image another: of the same modality and another scan if there is one."""
        batch = self.batch
        scans = _codes(batch.scan_ids).to(self.device)
        kinds = _codes(batch.modality).to(self.device)
        liking = self.share(len(batch))
        liking += 4.0 * (kinds[:, None] == kinds) + 2.0 * (scans[:, None] != scans)
        itself = torch.eye(len(batch), dtype=torch.bool, device=self.device)
        return liking.masked_fill(itself, -1.0).argmax(1)


def _codes(names: tuple[object, ...]) -> Tensor:
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([places[name] for name in names])


def _wide(values: Tensor, images: Tensor) -> Tensor:
    """(B,) so that it broadcasts over (B, C, ...)."""
    return values.reshape(-1, *[1] * (images.ndim - 1))
