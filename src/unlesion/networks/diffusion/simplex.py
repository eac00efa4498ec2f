"""Simplex noise in octaves: smooth random fields with structure at many scales.

Written for whole arrays. The packages that exist evaluate a point at a time unless numba is there, too slow to train with.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

# Standard deviation of one octave. That of the OpenSimplex noise used by AnoDDPM is about this: six octaves of
# persistence 0.8 have 0.53 together.
OCTAVE_STD = 0.33
TABLE = 256


def simplex_noise(points: Tensor, generator: torch.Generator) -> Tensor:
    """Simplex noise of a random lattice at any points.

    Space is cut into simplices; each of their corners has a random direction, and adds (1/2 - d²)⁴ times the
    distance along its direction, d away from it. The result repeats after 256 cells.

    Args:
        points: (n, ...) float64 coordinates in n = 2 or 3 dimensions; one unit is about a wavelength.
        generator: decides the directions.

    Returns:
        (...) float32 with mean 0 and standard deviation `OCTAVE_STD` over all lattices and points.

    Source: Perlin, Noise hardware, SIGGRAPH course notes 2001.
    """
    dims = len(points)
    table = torch.randperm(TABLE, generator=generator, device="cpu")
    directions = torch.randn((TABLE, dims), generator=generator, device="cpu", dtype=torch.float64)
    directions = directions / directions.norm(dim=1, keepdim=True)
    directions = torch.cat([directions[: TABLE // 2], -directions[: TABLE // 2]])
    skew = (math.sqrt(dims + 1) - 1) / dims
    unskew = skew / (1 + dims * skew)
    cell = (points + points.sum(0) * skew).floor()
    inside = points - (cell - cell.sum(0) * unskew)
    # A walk from the cell's first corner to its last, each step along the axis with the next largest rest.
    order = inside.argsort(dim=0, descending=True)
    total = torch.zeros_like(points[0])
    corner = torch.zeros_like(points)
    for step in range(dims + 1):
        away = inside - (corner - corner.sum(0) * unskew)
        hashed = torch.zeros_like(points[0], dtype=torch.int64)
        for axis in range(dims):
            hashed = table[(hashed + (cell[axis] + corner[axis]).long()) % TABLE]
        along = (directions[hashed].movedim(-1, 0) * away).sum(0)
        total += (0.5 - away.square().sum(0)).clamp(min=0).pow(4) * along
        if step < dims:
            corner = corner.scatter(0, order[step : step + 1], 1.0)
    return (total * (OCTAVE_STD / _raw_std(dims))).float()


def _raw_std(dims: int) -> float:
    """Root of the mean square of the sum over corners, in closed form.

    Directions are independent, so it is the density of corners times the integral of (1/2 - r²)⁸ r²/n.
    """
    sphere = 2 * math.pi ** (dims / 2) / math.gamma(dims / 2)
    half = dims / 2 + 1
    beta = math.gamma(9) * math.gamma(half) / math.gamma(9 + half)
    return math.sqrt(math.sqrt(dims + 1) / dims * sphere / 2 * 0.5 ** (8 + half) * beta)


def simplex_field(
    sides: tuple[int, ...],
    *,
    wavelength: float,
    octaves: int = 6,
    persistence: float = 0.8,
    generator: torch.Generator,
) -> Tensor:
    """A sum of octaves of simplex noise, each half as long and `persistence` times as strong as the one before.

    Every octave has a lattice of its own at a random place, so that the field has no special point.

    Args:
        sides: pixels along each axis.
        wavelength: of the first octave, in pixels.
        octaves: how many.
        persistence: factor on the strength from octave to octave.
        generator: where it comes from.

    Returns:
        `sides` float32.

    Source: Wyatt et al., AnoDDPM, CVPRW 2022 (6 octaves, persistence 0.8, 64 of 256 pixels).
    """
    axes = [torch.arange(side, dtype=torch.float64, device="cpu") for side in sides]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    field = torch.zeros(sides, device="cpu")
    for octave in range(octaves):
        place = TABLE * torch.rand(len(sides), generator=generator, device="cpu", dtype=torch.float64)
        at = points * 2.0**octave / wavelength + place.reshape(-1, *[1] * len(sides))
        field += persistence**octave * simplex_noise(at, generator)
    return field


@lru_cache(maxsize=8)
def simplex_bank(sides: tuple[int, ...], wavelength: float, octaves: int, seed: int = 0) -> Tensor:
    """Large fields of single octaves: (octaves, number, larger sides), always the same for the same arguments.

    For slices there are 4 of each octave with 4 times the sides, for volumes 2 with 1.5 times.
    """
    generator = torch.Generator(device="cpu").manual_seed(seed)
    flat = len(sides) == 2
    large = tuple(math.ceil(side * (4 if flat else 1.5)) for side in sides)
    made = [
        simplex_field(large, wavelength=wavelength / 2**octave, octaves=1, generator=generator)
        for octave in range(octaves)
        for _ in range(4 if flat else 2)
    ]
    return torch.stack(made).unflatten(0, (octaves, -1))


def banked_field(
    bank: Tensor, sides: tuple[int, ...], *, persistence: float, generator: torch.Generator
) -> Tensor:
    """A field like those of `simplex_field`, put together from random pieces of a bank: `sides` float32.

    The piece of every octave is cut out anywhere, mirrored along random axes, and its sign turned at random; that
    also evens out the slant of the lattice. Pieces are not rolled: it would leave a seam.
    """

    def below(end: int) -> int:
        return int(torch.randint(end, (), generator=generator, device="cpu"))

    total = torch.zeros(sides, device="cpu")
    for octave, fields in enumerate(bank):
        piece = fields[below(len(fields))]
        for axis, side in enumerate(sides):
            piece = piece.narrow(axis, below(piece.shape[axis] - side + 1), side)
        mirrored = [axis for axis in range(len(sides)) if below(2)]
        total += persistence**octave * (1.0 - 2.0 * below(2)) * piece.flip(mirrored)
    return total
