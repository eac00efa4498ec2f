"""Batches of prepared slices; which slice comes when depends on seed, stage and count alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unlesion.errors import BadInput
from unlesion.methods.batch import Batch
from unlesion.networks.contrast_maps import random_contrast
from unlesion.prepare import PreparedStore
from unlesion.seeds import seed_of


class SliceSource:
    """The slices of a prepared store that a training may see.

    The stream of a stage is one random order of all slices after another; batch number n of a stage
    is computed from n, so that a resumed training sees exactly what an uninterrupted one would.

    Args:
        store: where the slices are.
        indices: those that may be seen.
        batch: slices in a batch.
        seed: of the orders.
        mirror: flip half of them left to right.
        contrast: strength of `vary_contrast`; 0 leaves the grey values alone.
        recontrast: share of the images that `recontrasted` changes.
        balance: show slices of every modality equally often, however many there are.
    """

    def __init__(
        self,
        store: PreparedStore,
        indices: NDArray[np.int64],
        *,
        batch: int,
        seed: int,
        mirror: bool = False,
        contrast: float = 0.0,
        recontrast: float = 0.0,
        balance: bool = False,
    ) -> None:
        if len(indices) == 0:
            raise BadInput("no slices to train on: the region of interest is empty in every healthy scan")
        self.store = store
        self.indices = np.asarray(indices)
        self.batch = batch
        self.seed = seed
        self.mirror = mirror
        self.contrast = contrast
        self.recontrast = recontrast
        groups = _by_modality(store, self.indices) if balance else [np.arange(len(self.indices))]
        self._groups = groups
        # Of each group as many slices an epoch, so that the epoch is about as long as without balance.
        self._quota = -(-len(self.indices) // len(groups))
        self._orders: dict[tuple[str, int], NDArray[np.int64]] = {}

    def draw(self, stage: str, number: int) -> Batch:
        """Batch `number` (from 0) of a stage."""
        places = np.arange(number * self.batch, (number + 1) * self.batch)
        epochs, within = np.divmod(places, self._quota * len(self._groups))
        chosen = [self.indices[self._order(stage, int(e))[w]] for e, w in zip(epochs, within, strict=True)]
        batch = make_batch(self.store, np.asarray(chosen), seed=self.seed)
        if self.mirror:
            generator = torch.Generator().manual_seed(seed_of(self.seed, "mirror", stage, number))
            flip = torch.rand(self.batch, generator=generator) < 0.5
            # Canonical columns run from right to left of the body: mirroring them swaps the sides.
            batch.images[flip] = batch.images[flip].flip(-1)
            batch.roi[flip] = batch.roi[flip].flip(-1)
        if self.contrast:
            generator = torch.Generator().manual_seed(seed_of(self.seed, "contrast", stage, number))
            vary_contrast(batch.images, strength=self.contrast, generator=generator)
        if self.recontrast:
            generator = torch.Generator().manual_seed(seed_of(self.seed, "recontrast", stage, number))
            batch.images.copy_(
                recontrasted(batch.images, batch.roi, share=self.recontrast, generator=generator)
            )
        return batch

    def once(self) -> Iterator[Batch]:
        """Every slice once, in order."""
        for start in range(0, len(self.indices), self.batch):
            yield make_batch(self.store, self.indices[start : start + self.batch], seed=self.seed)

    def _order(self, stage: str, epoch: int) -> NDArray[np.int64]:
        key = (stage, epoch)
        if key not in self._orders:
            # Only the newest orders are needed: a batch spans two epochs at most unless data are few.
            while len(self._orders) > 64:
                self._orders.pop(next(iter(self._orders)))
            generator = np.random.default_rng(seed_of(self.seed, "order", stage, epoch))
            self._orders[key] = self._shuffled(generator)
        return self._orders[key]

    def _shuffled(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """One epoch: of a small group its slices again and again, of a large one some."""
        if len(self._groups) == 1:
            return generator.permutation(len(self.indices))
        shares = [np.resize(generator.permutation(group), self._quota) for group in self._groups]
        return generator.permutation(np.concatenate(shares))


def _by_modality(store: PreparedStore, indices: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The places in `indices` of each modality's slices."""
    names = [tuple(store.scans[int(store.slice_scan[index])]["modality"]) for index in indices]
    return [np.array([at for at, own in enumerate(names) if own == name]) for name in sorted(set(names))]


def vary_contrast(images: torch.Tensor, *, strength: float, generator: torch.Generator) -> None:
    """Bend the grey values of every image and channel by its own power, in place.

    The middle grey of tissue (0.5) stays where it is, as the recipe's normalisation would leave it:
    x becomes 0.5 (2 x) ** g with log2 g uniform within +-`strength`.
    """
    drawn = torch.rand(images.shape[:2], generator=generator)
    power = torch.exp2((2.0 * drawn - 1.0) * strength).reshape(*images.shape[:2], *[1] * (images.ndim - 2))
    images.copy_((0.5 * (2.0 * images.clamp(min=0.0)).pow(power)).clamp(max=1.5))


def recontrasted(images: Tensor, roi: Tensor, *, share: float, generator: torch.Generator) -> Tensor:
    """That share of the images with other grey values for the same anatomy, by `random_contrast`; every channel by its own map.

    Args:
        images: (B, C, ...), 0 outside the roi.
        roi: (B, 1, ...) bool.
        share: 0 to 1.
        generator: of all numbers.

    Returns:
        (B, C, ...), within 0 and 1.5.
    """
    chosen = torch.rand(len(images), generator=generator) < share
    apart = images.flatten(0, 1)[:, None]
    inside = roi.repeat_interleave(images.shape[1], 0)
    mapped = random_contrast(apart, inside, generator=generator)[:, 0].reshape(images.shape)
    return torch.where(chosen.reshape(-1, *[1] * (images.ndim - 1)), mapped, images)


def make_batch(store: PreparedStore, indices: NDArray[np.int64], *, seed: int) -> Batch:
    """Slices of a store as a batch."""
    images = np.stack([np.asarray(store.images[i], dtype=np.float32) for i in indices])
    roi = np.stack([np.asarray(store.roi[i], dtype=bool) for i in indices])[:, None]
    rows = [store.scans[int(store.slice_scan[i])] for i in indices]
    return Batch(
        images=torch.from_numpy(images),
        roi=torch.from_numpy(roi),
        position=torch.from_numpy(np.asarray([store.positions[i] for i in indices], dtype=np.float32)),
        spacing=torch.tensor([row["spacing"][:2] for row in rows], dtype=torch.float32),
        modality=tuple(tuple(row["modality"]) for row in rows),
        scan_ids=tuple(str(row["key"]) for row in rows),
        seeds=torch.tensor([seed_of(seed, row["key"], int(i)) for row, i in zip(rows, indices, strict=True)]),
    )
