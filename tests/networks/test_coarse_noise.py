"""Noise of coarse grain."""

from __future__ import annotations

import pytest
import torch

from unlesion.networks.coarse_noise import coarse_noise


def draw(shape: tuple[int, ...], *, sigma: float = 0.2, cell: float = 8.0, seed: int = 0) -> torch.Tensor:
    roi = torch.ones(shape[0], 1, *shape[2:], dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    return coarse_noise(torch.zeros(shape), roi, sigma=sigma, cell=cell, generator=generator)


def test_spread_inside_and_nothing_outside() -> None:
    roi = torch.zeros(16, 1, 128, 128, dtype=torch.bool)
    roi[..., 20:100, 30:110] = True
    generator = torch.Generator().manual_seed(0)
    noise = torch.cat(
        [
            coarse_noise(torch.zeros(16, 1, 128, 128), roi, sigma=0.2, cell=8.0, generator=generator)
            for _ in range(4)
        ]
    )
    inside = noise[roi.repeat(4, 1, 1, 1)]
    # Linear interpolation between independent points leaves 2/3 of the variance on each axis.
    assert float(inside.std()) == pytest.approx(0.2 * 2 / 3, rel=0.03)
    assert (noise[~roi.repeat(4, 1, 1, 1)] == 0).all()


def test_spread_in_volumes() -> None:
    noise = draw((2, 1, 48, 48, 48), cell=4.0)
    assert float(noise.std()) == pytest.approx(0.2 * (2 / 3) ** 1.5, rel=0.05)


def test_images_and_channels_have_noise_of_their_own() -> None:
    noise = draw((2, 2, 64, 64))
    flat = noise.flatten(2).reshape(4, -1)
    between = torch.corrcoef(flat) - torch.eye(4)
    assert float(between.abs().max()) < 0.5


def test_grain_follows_the_cell() -> None:
    def neighbour_correlation(cell: float) -> float:
        noise = draw((8, 1, 64, 64), cell=cell)
        pairs = torch.stack([noise[..., :-4].flatten(), noise[..., 4:].flatten()])
        return float(torch.corrcoef(pairs)[0, 1])

    assert neighbour_correlation(4) < neighbour_correlation(8) < neighbour_correlation(16)


def test_same_seed_same_noise() -> None:
    assert torch.equal(draw((2, 1, 32, 32), seed=3), draw((2, 1, 32, 32), seed=3))
    assert not torch.equal(draw((2, 1, 32, 32), seed=3), draw((2, 1, 32, 32), seed=4))
