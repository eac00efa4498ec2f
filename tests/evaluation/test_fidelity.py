from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from unlesion.evaluation import Units
from unlesion.evaluation.fidelity import healed, kept


def test_closed_forms_and_scikit_image() -> None:
    generator = np.random.default_rng(0)
    image = generator.random((2, 30, 28, 20)).astype(np.float32) * 200 + 50
    healthy = (image + generator.normal(0, 10, image.shape)).astype(np.float32)
    roi = np.zeros((30, 28, 20), bool)
    roi[8:22, 9:20, 2:19] = True
    units = Units(offset=(50.0, 50.0), scale=(200.0, 200.0))
    found = kept(image, healthy, roi, units)
    gap = np.abs(image - healthy)[:, roi] / 200
    assert found["mae"] == pytest.approx(gap.mean(), rel=1e-4)
    first, second = (image[:, roi] - 50) / 200, (healthy[:, roi] - 50) / 200
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(first, second, data_range=1.0), rel=1e-4)
    maps = [
        structural_similarity(
            (image[c, ..., s] - 50) / 200, (healthy[c, ..., s] - 50) / 200, data_range=1.0, full=True,
            gaussian_weights=True, use_sample_covariance=False,
        )[1][roi[..., s]]
        for c in range(2) for s in range(20)
    ]  # fmt: skip
    assert found["ssim"] == pytest.approx(np.concatenate(maps).mean(), abs=1e-4)


def test_units_do_not_change_fidelity() -> None:
    generator = np.random.default_rng(0)
    image = generator.random((1, 20, 20, 1)).astype(np.float32)
    healthy = (image * 0.9).astype(np.float32)
    roi = np.ones((20, 20, 1), bool)
    one = kept(image, healthy, roi, Units.of(image, roi))
    two = kept(1000 * image + 7, 1000 * healthy + 7, roi, Units.of(1000 * image + 7, roi))
    for name in one:
        assert one[name] == pytest.approx(two[name], rel=1e-3)


def test_a_perfect_image_is_finite() -> None:
    image = np.random.default_rng(0).random((1, 20, 20, 1)).astype(np.float32)
    roi = np.ones((20, 20, 1), bool)
    assert kept(image, image, roi, Units.of(image, roi)) == {
        "mae": 0.0,
        "psnr": 100.0,
        "ssim": pytest.approx(1.0),
    }


@pytest.mark.parametrize(("share", "gain"), [(0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (-1.0, -1.0)])
def test_healing(share: float, gain: float) -> None:
    twin = np.zeros((1, 8, 8, 1), np.float32)
    lesion = np.zeros((8, 8, 1), bool)
    lesion[2:5, 2:5] = True
    scan = twin + 40 * lesion
    healthy = scan + share * (twin - scan) + 3 * ~lesion
    found = healed(scan, healthy, twin, lesion, Units(offset=(0.0,), scale=(100.0,)))
    assert found is not None
    assert found["mae_before"] == pytest.approx(0.4)
    assert 1 - found["mae_lesion"] / found["mae_before"] == pytest.approx(gain)


def test_nothing_to_heal() -> None:
    image = np.zeros((1, 8, 8, 1), np.float32)
    assert healed(image, image, image, np.zeros((8, 8, 1), bool), Units(offset=(0.0,), scale=(1.0,))) is None
