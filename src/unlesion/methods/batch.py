"""What flows through a method: a batch of prepared images in, evidence of anomaly out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

# Whether any of the named maps or codes will be read; see `Batch.wants`.
Wants = Callable[..., bool]


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Prepared images; slices (B, C, H, W) or volumes (B, C, D, H, W).

    Attributes:
        images: float32; 0 to 1 for most tissue after the recipe's robust normalisation, some above
            1 (up to 1.5) where brighter; 0 outside `roi`.
        roi: (B, 1, ...) bool: the part that is learnt and scored.
        position: (B,) relative height of a slice in its volume, 0 lowest to 1 highest; 0.5 unknown.
        spacing: (B, 2 or 3) mm per pixel, along rows and columns (after slices, for volumes).
        modality: one tuple of channel names per image.
        scan_ids: one name per image; slices of a scan share it.
        seeds: (B,) int64, one per image, made of the run's seed and the image's own identity: all
            randomness at inference is drawn from it, so that a result never depends on neighbours.
        wanted: names of the method's own maps and codes that will be read; None: all.
    """

    images: Tensor
    roi: Tensor
    position: Tensor
    spacing: Tensor
    modality: tuple[tuple[str, ...], ...]
    scan_ids: tuple[str, ...]
    seeds: Tensor
    wanted: frozenset[str] | None = None

    def __len__(self) -> int:
        return int(self.images.shape[0])

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device (seeds stay where generators live: on the CPU)."""
        return replace(
            self,
            images=self.images.to(device, non_blocking=True),
            roi=self.roi.to(device, non_blocking=True),
            position=self.position.to(device, non_blocking=True),
            spacing=self.spacing.to(device, non_blocking=True),
        )

    def pick(self, rows: Tensor) -> Batch:
        """Some of its images: `rows` are their numbers, or (B,) bool."""
        number = torch.arange(len(self))[rows.cpu()]
        here = number.to(self.images.device)
        return Batch(
            images=self.images[here],
            roi=self.roi[here],
            position=self.position[here],
            spacing=self.spacing[here],
            modality=tuple(self.modality[row] for row in number.tolist()),
            scan_ids=tuple(self.scan_ids[row] for row in number.tolist()),
            seeds=self.seeds[number],
            wanted=self.wanted,
        )

    def wants(self, *names: str) -> bool:
        """Whether any of these maps or codes will be read: what costs something may be left out of the evidence else."""
        return self.wanted is None or not self.wanted.isdisjoint(names)

    def noise(self, shape: tuple[int, ...], *, salt: int = 0) -> Tensor:
        """Standard normal noise of `shape` per image, (B, *shape), from each image's own seed."""
        return self.drawn(lambda generator: torch.randn(shape, generator=generator), salt=salt)

    def drawn(self, draw: Callable[[torch.Generator], Tensor], *, salt: int = 0) -> Tensor:
        """What `draw` makes of a generator with each image's own seed, one after another: (B, ...).

        Args:
            draw: generator (on the CPU) to a tensor, of the same shape every time.
            salt: another number gives other draws of the same image.
        """
        made = []
        for seed in self.seeds.tolist():
            generator = torch.Generator(device="cpu").manual_seed((seed + 0x9E3779B9 * salt) % (2**63))
            made.append(draw(generator))
        return torch.stack(made).to(self.images.device)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What a method found in a batch, before any scoring.

    Attributes:
        healthy: the pseudo-healthy images, like `Batch.images`; None if the method draws none.
        maps: the method's own maps by name, each (B, ...) float32 on the images' pixels, larger is
            more unusual (a signed map is larger where the scan is brighter than expected).
        latent: codes by name, each (B, n), for scores of a whole image.
    """

    healthy: Tensor | None
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    latent: Mapping[str, Tensor] = field(default_factory=dict)
