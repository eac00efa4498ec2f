"""Independent streams of randomness by name, so that drawing more of one thing never moves another."""

from __future__ import annotations

import zlib

import numpy as np

Seed = int | tuple[int, ...]


def stream(seed: Seed, *names: str | int) -> np.random.Generator:
    """A generator for `names` under `seed`: always the same, and independent of every other name."""
    words = [seed] if isinstance(seed, int) else list(seed)
    return np.random.default_rng([*words, *(zlib.crc32(str(name).encode()) for name in names)])
