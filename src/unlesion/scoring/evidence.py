"""What scoring works on: the evidence about one whole scan, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


class PreparedLike(Protocol):
    """What scoring needs to know of a prepared scan (see `unlesion.prepare.Prepared`)."""

    @property
    def images(self) -> Floats: ...
    @property
    def roi(self) -> Mask: ...
    @property
    def positions(self) -> Floats: ...
    @property
    def spacing(self) -> tuple[float, float]: ...
    @property
    def slice_mm(self) -> float: ...


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanEvidence:
    """What a method found in a whole prepared scan.

    Attributes:
        prepared: the scan; `images` (S, C, H, W), `roi` (S, H, W), `positions` (S,).
        healthy: (S, C, H, W) float32, the pseudo-healthy scan; None if the method draws none.
        maps: the method's own maps by name, (S, H, W) float32; a signed map is larger where the scan is
            brighter than expected.
        latent: codes by name, (S, n) float32.
    """

    prepared: PreparedLike
    healthy: Floats | None = None
    maps: Mapping[str, Floats] = field(default_factory=dict)
    latent: Mapping[str, Floats] = field(default_factory=dict)
