"""Batches of a prepared scan, as methods look at them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from unlesion.methods.batch import Batch
from unlesion.prepare import Prepared
from unlesion.seeds import seed_of

# Slices that go through the network at once at detection.
CHUNK = 32


def batches_of(
    prepared: Prepared, *, seed: int, wanted: frozenset[str] | None = None
) -> Iterator[tuple[NDArray[np.int64], Batch]]:
    """The slices of a prepared scan that hold any roi, in batches; with their places in the scan.

    Args:
        prepared: the scan, as its recipe made it.
        seed: of the run; every slice has one of its own, made of it, the scan's key and the slice's place.
        wanted: names of own maps and codes that will be read; None: all.

    Returns:
        Pairs of the slices' numbers, (B,) with B up to `CHUNK`, and the batch of them.
    """
    there = np.flatnonzero(prepared.roi.any(axis=(1, 2)))
    for start in range(0, len(there), CHUNK):
        where = there[start : start + CHUNK]
        count = len(where)
        yield (
            where,
            Batch(
                images=torch.from_numpy(np.ascontiguousarray(prepared.images[where])),
                roi=torch.from_numpy(np.ascontiguousarray(prepared.roi[where]))[:, None],
                position=torch.from_numpy(np.ascontiguousarray(prepared.positions[where])).float(),
                spacing=torch.tensor(prepared.spacing, dtype=torch.float32).expand(count, 2).contiguous(),
                modality=(tuple(prepared.modality),) * count,
                scan_ids=(prepared.key,) * count,
                seeds=torch.tensor([seed_of(seed, prepared.key, int(i)) for i in where]),
                wanted=wanted,
            ),
        )
