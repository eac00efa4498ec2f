"""Noise: its strength, its grain, and where it comes from."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unlesion.networks.diffusion.noise import Noise, NoiseKind, pyramid_field
from unlesion.networks.diffusion.simplex import (
    OCTAVE_STD,
    banked_field,
    simplex_bank,
    simplex_field,
    simplex_noise,
)

ALL = pytest.mark.parametrize("kind", ["gaussian", "simplex", "coarse", "pyramid"])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def correlation(fields: Tensor, lag: int) -> float:
    """Between pixels so far from each other in a row."""
    first, second = fields[..., lag:], fields[..., : fields.shape[-1] - lag]
    return float((first * second).mean() / fields.square().mean())


@pytest.mark.parametrize("dims", [2, 3])
def test_simplex_noise_has_the_variance_of_its_closed_form(dims: int) -> None:
    points = 256 * torch.rand((dims, 200_000), dtype=torch.float64, generator=generator(1))
    values = torch.cat([simplex_noise(points, generator(seed)) for seed in range(4)])
    assert float(values.std()) == pytest.approx(OCTAVE_STD, rel=0.03)
    assert abs(float(values.mean())) < 0.005
    assert 0.6 < float(values.abs().max()) < 1.2


@pytest.mark.parametrize("dims", [2, 3])
def test_simplex_noise_is_0_at_the_lattice_and_has_no_jumps(dims: int) -> None:
    skew = (math.sqrt(dims + 1) - 1) / dims
    lattice = torch.randint(-50, 50, (dims, 500), generator=generator()).double()
    points = lattice - lattice.sum(0) * skew / (1 + dims * skew)
    # A corner adds nothing to itself, and the others are too far away.
    torch.testing.assert_close(simplex_noise(points + 1e-9, generator()), torch.zeros(500), atol=1e-6, rtol=0)
    line = torch.linspace(0, 40, 40_001, dtype=torch.float64).expand(dims, -1) * torch.tensor([[1.0]])
    values = simplex_noise(line * torch.linspace(0.4, 1.0, dims).double()[:, None], generator())
    assert float(values.diff().abs().max()) < 0.01


def test_simplex_noise_repeats_only_with_its_seed() -> None:
    points = 20 * torch.rand((2, 1000), dtype=torch.float64, generator=generator(1))
    first = simplex_noise(points, generator(3))
    assert torch.equal(first, simplex_noise(points, generator(3)))
    assert abs(float((first * simplex_noise(points, generator(4))).mean())) < 0.1 * OCTAVE_STD**2 * 3


def test_octaves_add_what_their_persistence_says() -> None:
    fields = [
        simplex_field((512, 512), wavelength=64, octaves=octaves, generator=generator(octaves))
        for octaves in (1, 6)
    ]
    strength = [OCTAVE_STD * math.sqrt(sum(0.8 ** (2 * k) for k in range(n))) for n in (1, 6)]
    assert float(fields[0].std()) == pytest.approx(strength[0], rel=0.1)
    assert float(fields[1].std()) == pytest.approx(strength[1], rel=0.1)
    # The measured strength of the published noise.
    assert strength[1] == pytest.approx(0.53, abs=0.01)
    assert correlation(fields[0], 4) > 0.9 > correlation(fields[1], 4) > 0.4


def test_a_bank_is_always_the_same_and_pieces_come_from_it() -> None:
    bank = simplex_bank((16, 16), 8.0, 1)
    assert bank.shape == (1, 4, 64, 64)
    simplex_bank.cache_clear()
    assert torch.equal(bank, simplex_bank((16, 16), 8.0, 1))
    piece = banked_field(bank, (16, 16), persistence=0.8, generator=generator())
    windows = bank[0].unfold(1, 16, 1).unfold(2, 16, 1)
    variants = [sign * piece.flip(axes) for sign in (1, -1) for axes in ([], [0], [1], [0, 1])]
    assert any((windows == variant).all(-1).all(-1).any() for variant in variants)
    assert simplex_bank((8, 8, 8), 4.0, 3).shape == (3, 2, 12, 12, 12)


def test_fields_of_a_bank_are_like_fields_made_anew() -> None:
    bank = simplex_bank((32, 32), 20.0, 5)
    banked = torch.stack(
        [banked_field(bank, (32, 32), persistence=0.8, generator=generator(seed)) for seed in range(300)]
    )
    anew = torch.stack(
        [
            simplex_field((32, 32), wavelength=20.0, octaves=5, generator=generator(seed))
            for seed in range(300)
        ]
    )
    assert float(banked.std()) == pytest.approx(float(anew.std()), rel=0.05)
    # The means of fields differ as much, too, and so do pixels far from each other.
    means = [fields.mean((1, 2)).std().item() for fields in (banked, anew)]
    assert means[0] == pytest.approx(means[1], rel=0.25)
    for lag in (1, 4, 10):
        assert correlation(banked, lag) == pytest.approx(correlation(anew, lag), abs=0.06)


def test_a_bank_made_while_counting_parameters_is_real() -> None:
    simplex_bank.cache_clear()
    with torch.device("meta"):
        assert simplex_bank((8, 8), 4.0, 2).device.type == "cpu"


@ALL
@pytest.mark.parametrize("sides", [(32, 32), (16, 16, 16)])
def test_fields_are_independent_and_of_known_strength(kind: NoiseKind, sides: tuple[int, ...]) -> None:
    noise = Noise(kind=kind, grain=0.25)
    fields = noise.fields(64, 2, sides, generator())
    assert fields.shape == (64, 2, *sides) and fields.dtype == torch.float32
    assert float(fields.square().mean().sqrt()) == pytest.approx(0.53 if kind == "simplex" else 1.0, rel=0.1)
    across = float((fields[:32] * fields[32:]).mean() / fields.square().mean())
    channels = float((fields[:, 0] * fields[:, 1]).mean() / fields.square().mean())
    assert abs(across) < 0.1 and abs(channels) < 0.1
    assert torch.equal(fields, noise.fields(64, 2, sides, generator()))


def test_grain() -> None:
    lags = {
        kind: correlation(Noise(kind=kind, grain=grain).fields(64, 1, (32, 32), generator()), 3)
        for kind, grain in (("gaussian", 1.0), ("simplex", 2 / 3), ("coarse", 0.25), ("pyramid", 1.0))
    }
    assert abs(lags["gaussian"]) < 0.02
    assert lags["coarse"] > 0.5 and lags["simplex"] > 0.2 and lags["pyramid"] > 0.1


@pytest.mark.parametrize("cell", [0.5, 1.0, 2.0, 8.0])
def test_coarse_noise_has_standard_deviation_1_at_any_grain(cell: float) -> None:
    fields = Noise(kind="coarse", grain=cell / 64).fields(64, 1, (64, 64), generator())
    assert float(fields.std()) == pytest.approx(1.0, abs=0.06)


def test_a_shared_field_is_one_for_the_batch() -> None:
    noise = Noise(kind="gaussian")
    fields = noise.training(
        torch.Size((4, 2, 8, 8)), generator=generator(), device=torch.device("cpu"), shared=True
    )
    assert fields.shape == (4, 2, 8, 8) and (fields == fields[:1]).all()
    assert not torch.equal(fields[0, 0], fields[0, 1])


def test_every_pyramid_has_standard_deviation_1() -> None:
    for seed in range(5):
        field = pyramid_field(2, (24, 24), 0.9, generator(seed))
        assert field.shape == (1, 2, 24, 24) and float(field.std()) == pytest.approx(1.0, abs=1e-5)
