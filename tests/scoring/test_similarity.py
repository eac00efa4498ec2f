from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from unlesion.scoring import local_ssim


def test_against_scikit_image() -> None:
    generator = np.random.default_rng(0)
    first = generator.random((2, 3, 40, 37))
    second = np.clip(first + 0.2 * generator.standard_normal(first.shape), 0, 1)
    found = local_ssim(first, second)
    for s in range(2):
        for c in range(3):
            expected = structural_similarity(
                first[s, c], second[s, c], data_range=1.0, full=True, gaussian_weights=True,
                use_sample_covariance=False,
            )[1]  # fmt: skip
            np.testing.assert_allclose(found[s, c], expected, atol=1e-5)


def test_alike_is_one() -> None:
    image = np.random.default_rng(0).random((1, 32, 32))
    assert local_ssim(image, image) == pytest.approx(1.0)
