"""The same anatomy as another scanner might show it: random maps of grey values, and what scanners add."""

from __future__ import annotations

import torch
from torch import Tensor

from unlesion.networks.draws import normal, uniform
from unlesion.networks.precision import without_autocast
from unlesion.networks.regrade import smooth_basis
from unlesion.networks.smoothing import blur_inside

# Goes up when the same draws would give other images. 2: what is outside the roi is air, also in ghosts.
VERSION = 2

# Points of the table by which grey values are mapped.
POINTS = 65
CEILING = 1.5


@without_autocast
def random_contrast(
    images: Tensor,
    roi: Tensor,
    *,
    generator: torch.Generator,
    tissues: Tensor | None = None,
    strength: float = 1.0,
) -> Tensor:
    """Every image with another contrast and the same geometry.

    A third each of the images: a monotone curve, a power of 1/2 to 2, a broken line with 4 to 8 knots that need not be
    monotone. Three in ten are inverted, and with `tissues` one in five is drawn anew with a random grey value for
    every tissue. The roi's median goes back to where it was, as the recipe would put it there, unless it was mapped to nearly black. Then a smooth bias, for
    half of the batches a blur, for one in ten images a ghost, and noise.

    Args:
        images: (B, 1, ...), grey values up to 1.5.
        roi: (B, 1, ...) bool.
        generator: of all numbers.
        tissues: (B, T, ...) soft tissues.
        strength: 0 to 1: share of the way from the image to the mapped one, before bias and noise.

    Returns:
        (B, 1, ...) float32 within 0 and 1.5, 0 outside the roi.
    """
    table = _tables(len(images), images.device, generator)
    mapped = images + strength * (_looked_up(images, table) - images)
    if tissues is not None:
        again = _resynthesised(tissues, generator)
        chosen = _some(len(images), 0.2, images, generator)
        mapped = torch.where(chosen, torch.lerp(images, again, strength), mapped)
    before, after = _median(images, roi), _median(mapped, roi)
    mapped = mapped * before / after.clamp(min=0.1)
    # A ghost brings what is outside into the roi: that stays air, however bright the map would draw it.
    return _as_scanned(mapped * roi, roi, generator).clamp(0.0, CEILING) * roi


def _tables(number: int, device: torch.device, generator: torch.Generator) -> Tensor:
    """(B, POINTS) grey values in place of those evenly spaced from 0 to 1.5; all within 0 to 1.5."""
    place = torch.linspace(0.0, 1.0, POINTS, device=device)
    ends = uniform((number, 4), generator=generator, device=device)
    # A cubic Bezier curve with ordered control values is monotone; 0 and 1 are its ends.
    control = torch.cat([ends[:, :2].sort(1).values, ends[:, 2:]], dim=1)
    t = place[None]
    bezier = 3 * (1 - t) ** 2 * t * control[:, :1] + 3 * (1 - t) * t**2 * control[:, 1:2] + t**3
    power = place[None] ** torch.exp2(2.0 * control[:, 2:3] - 1.0)
    knots = 4 + int(torch.randint(5, (), generator=generator))
    heights = uniform((number, knots), generator=generator, device=device)
    broken = torch.nn.functional.interpolate(
        heights[:, None], size=POINTS, mode="linear", align_corners=True
    )[:, 0]
    kind = uniform((number, 1), generator=generator, device=device) * 3
    out = torch.where(kind < 1, bezier, torch.where(kind < 2, power, broken))
    inverted = uniform((number, 1), generator=generator, device=device) < 0.3
    return torch.where(inverted, 1.0 - out, out) * CEILING


def _looked_up(images: Tensor, table: Tensor) -> Tensor:
    """Grey values by the table of their image, interpolated linearly."""
    scaled = (images / CEILING).clamp(0.0, 1.0) * (POINTS - 1)
    low = scaled.floor().clamp(max=POINTS - 2)
    flat = low.long().flatten(1)
    below, above = table.gather(1, flat), table.gather(1, flat + 1)
    return (below + (above - below) * (scaled - low).flatten(1)).reshape(images.shape)


def _resynthesised(tissues: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 1, ...) a random grey value and a random roughness for every tissue (Billot et al., SynthSeg, MedIA 2023)."""
    number, planes = tissues.shape[:2]
    shape = (number, planes, *[1] * (tissues.ndim - 2))
    means = 0.1 + uniform((number, planes), generator=generator, device=tissues.device).reshape(shape)
    rough = 0.08 * uniform((number, planes), generator=generator, device=tissues.device).reshape(shape)
    noise = normal((number, 1, *tissues.shape[2:]), generator=generator, device=tissues.device)
    return (tissues * (means + rough * noise)).sum(1, keepdim=True)


def _as_scanned(images: Tensor, roi: Tensor, generator: torch.Generator) -> Tensor:
    """Bias, blur, ghost and noise, in this order."""
    number, device = len(images), images.device
    waves = smooth_basis(tuple(images.shape[2:]), 2, device=device)
    sizes = 0.1 * normal((number, len(waves)), generator=generator, device=device)
    images = images * (1.0 + torch.einsum("bp,p...->b...", sizes, waves)[:, None]).clamp(0.7, 1.3)
    draws = torch.rand(3, generator=generator).tolist()
    if draws[0] < 0.5:
        images = blur_inside(images, roi, max(0.3, draws[1]))
    axis = 2 + int(draws[2] * (images.ndim - 2))
    ghost = images.roll(images.shape[axis] // 3, axis)
    images = torch.where(_some(number, 0.1, images, generator), 0.9 * images + 0.1 * ghost, images)
    level = 0.05 * uniform((number, *[1] * (images.ndim - 1)), generator=generator, device=device)
    return images + level * normal(tuple(images.shape), generator=generator, device=device)


def _some(number: int, share: float, images: Tensor, generator: torch.Generator) -> Tensor:
    """(B, 1, ...) bool, true for that share of the images."""
    drawn = uniform((number,), generator=generator, device=images.device) < share
    return drawn.reshape(number, *[1] * (images.ndim - 1))


def _median(images: Tensor, roi: Tensor) -> Tensor:
    """Median inside the roi, (B, 1, ...); 1 without any."""
    values = images.masked_fill(~roi, float("nan")).flatten(1).nanmedian(1).values
    return torch.nan_to_num(values, nan=1.0).reshape(-1, *[1] * (images.ndim - 1))
