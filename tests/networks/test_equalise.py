"""Histogram equalisation, against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.exposure import equalize_hist

from unlesion.networks.equalise import equalise


@pytest.mark.parametrize("levels", [None, 255, 90])
def test_equals_scikit_image_inside_the_roi(levels: int | None) -> None:
    rng = np.random.default_rng(1)
    images = rng.gamma(2.0, 0.2, size=(3, 2, 40, 40)).astype(np.float32)
    if levels:
        # Pictures of 8 bits: many pixels share a value.
        images = np.round(np.clip(images, 0, 1) * levels).astype(np.float32) / levels
    roi = rng.random((3, 1, 40, 40)) > 0.4
    found = equalise(torch.from_numpy(images), torch.from_numpy(roi)).numpy()
    for image in range(3):
        mask = roi[image, 0]
        for channel in range(2):
            expected = equalize_hist(images[image, channel].astype(np.float64), nbins=256, mask=mask)
            np.testing.assert_allclose(found[image, channel][mask], expected[mask], atol=1e-6)
            assert (found[image, channel][~mask] == 0).all()


def test_order_is_kept_and_range_is_the_unit_interval() -> None:
    image = torch.rand(1, 1, 32, 32)
    roi = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    found = equalise(image, roi).flatten()
    order = image.flatten().argsort()
    assert (found[order].diff() >= 0).all()
    assert float(found.min()) >= 0 and float(found.max()) == pytest.approx(1.0)


def test_constant_and_empty_images_are_finite() -> None:
    images = torch.full((2, 1, 16, 16), 0.5)
    roi = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    roi[0] = True
    found = equalise(images, roi)
    assert found.isfinite().all()
    assert (found[1] == 0).all()
