from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from unlesion.networks.patches import filter_code, grey_code, patch_dissimilarity


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def by_hand(first: np.ndarray, second: np.ndarray, size: int, reach: int) -> np.ndarray:
    """The definition, patch by patch: codes (K, ...) to a map (...)."""
    shape = first.shape[1:]
    total, count = np.zeros(shape), np.zeros(shape)

    def vector(codes: np.ndarray, corner: tuple[int, ...]) -> np.ndarray:
        cut = codes[(slice(None), *(slice(c, c + size) for c in corner))].ravel()
        return np.asarray(cut / np.linalg.norm(cut))

    for corner in product(*(range(n - size + 1) for n in shape)):
        likest = -1.0
        for step in product(range(-reach, reach + 1), repeat=len(shape)):
            other = tuple(a + b for a, b in zip(corner, step, strict=True))
            if all(0 <= o <= n - size for o, n in zip(other, shape, strict=True)):
                likest = max(likest, float(vector(first, corner) @ vector(second, other)))
        patch = tuple(slice(c, c + size) for c in corner)
        total[patch] += 1 - likest
        count[patch] += 1
    return total / count


@pytest.mark.parametrize("code", [grey_code, filter_code])
@pytest.mark.parametrize(
    ("shape", "size", "reach"),
    [((7, 6), 3, 0), ((7, 6), 3, 2), ((8, 7), 4, 1), ((5, 6, 5), 3, 1), ((6, 5), 2, 9)],
)
def test_against_the_definition(code: object, shape: tuple[int, ...], size: int, reach: int) -> None:
    assert callable(code)
    first, second = (code(noise(2, 1, *shape, seed=seed)) for seed in (1, 2))
    dims = len(shape)
    found = patch_dissimilarity(first, second, size=[size] * dims, reach=[reach] * dims)
    assert found.shape == (2, 1, *shape)
    for row in range(2):
        expected = by_hand(first[row].double().numpy(), second[row].double().numpy(), size, reach)
        np.testing.assert_allclose(found[row, 0].numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_shift_within_reach_is_forgiven(dims: int) -> None:
    image = noise(1, 1, *[14] * dims)
    shifted = image.roll(2, dims=2)
    codes = grey_code(image), grey_code(shifted)
    inside = (slice(None), slice(None), *[slice(5, -5)] * dims)
    strict = patch_dissimilarity(*codes, size=[3] * dims, reach=[0] * dims)[inside]
    near = patch_dissimilarity(*codes, size=[3] * dims, reach=[1] * dims)[inside]
    found = patch_dissimilarity(*codes, size=[3] * dims, reach=[2] * dims)[inside]
    assert strict.min() > 0.01 and near.min() > 0.001
    assert found.max() < 1e-5


def test_alike_is_nothing_and_the_range_is_kept() -> None:
    image = noise(3, 1, 12, 12)
    for code in (grey_code, filter_code):
        alike = patch_dissimilarity(code(image), code(image), size=(3, 3), reach=(1, 1))
        assert alike.min() >= 0 and alike.max() < 1e-5
    black, white = torch.full((1, 1, 8, 8), -0.5), torch.full((1, 1, 8, 8), 1.5)
    # Opposite directions are as unlike as can be.
    worst = patch_dissimilarity(grey_code(black), grey_code(white), size=(3, 3), reach=(1, 1))
    torch.testing.assert_close(worst, torch.full_like(worst, 2.0))


def test_a_longer_search_never_finds_less() -> None:
    codes = grey_code(noise(2, 1, 10, 10, seed=3)), grey_code(noise(2, 1, 10, 10, seed=4))
    maps = [patch_dissimilarity(*codes, size=(3, 3), reach=(reach, reach)) for reach in range(4)]
    for strict, lenient in pairwise(maps):
        assert (lenient <= strict + 1e-6).all()


def test_evenly_bright_differs_from_evenly_dark() -> None:
    dark, bright = torch.full((1, 1, 8, 8), 0.2), torch.full((1, 1, 8, 8), 0.6)
    found = patch_dissimilarity(grey_code(dark), grey_code(bright), size=(3, 3), reach=(0, 0))
    expected = 1 - np.cos(np.pi / 2 * 0.4)
    torch.testing.assert_close(found, torch.full_like(found, float(expected)))


def test_patches_larger_than_the_image_are_cut_to_it() -> None:
    codes = grey_code(noise(1, 1, 5, 4, seed=5)), grey_code(noise(1, 1, 5, 4, seed=6))
    found = patch_dissimilarity(*codes, size=(9, 9), reach=(2, 2))
    assert torch.allclose(found, found.flatten()[0].expand_as(found), atol=1e-6)
