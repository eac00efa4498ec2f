"""Intensity and atlas."""

from __future__ import annotations

import numpy as np
import torch
from skimage.exposure import equalize_hist

from tests.methods.scenes import blob_batch, built, make_batch, tiny
from unlesion.methods.base import InputSpec
from unlesion.methods.baseline.intensity import Intensity, IntensityConfig


def test_intensity_is_the_equalised_image() -> None:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.random((2, 1, 32, 32), dtype=np.float32))
    roi = blob_batch(2).roi
    method = tiny("intensity")
    found = method.explain(built(method), make_batch(images * roi, roi))
    assert found.healthy is None and not method.draws_healthy
    for row in range(2):
        mask = roi[row, 0].numpy()
        expected = equalize_hist(images[row, 0].numpy().astype(np.float64), nbins=256, mask=mask)
        np.testing.assert_allclose(found.maps["equalised"][row].numpy()[mask], expected[mask], atol=1e-6)
    torch.testing.assert_close(found.maps["contrast"][roi[:, 0]], 2 * found.maps["equalised"][roi[:, 0]] - 1)


def test_intensity_of_channels_pointing_apart() -> None:
    ramp = torch.linspace(0.1, 1, 32).expand(1, 1, 32, 32)
    images = torch.cat([ramp, ramp.flip(-1)], dim=1)
    roi = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    batch = make_batch(images, roi)
    mean, strongest = (
        method.explain(method.build(), batch).maps["contrast"]
        for method in (
            Intensity(IntensityConfig(channels=how), InputSpec(channels=2, size=32))
            for how in ("mean", "strongest")
        )
    )
    assert float(mean.abs().max()) < 0.05
    assert float(strongest.abs().max()) > 0.9


def test_atlas_equals_numpy_and_reads_once() -> None:
    batch = blob_batch(20)
    batch.images.add_(
        0.1 * torch.rand(batch.images.shape, generator=torch.Generator().manual_seed(0)) * batch.roi
    )
    method = tiny("atlas", bins=1, smooth=0.0, shrink=0.0, floor=1e-6)
    network = built(method)
    passes = []

    def batches():  # type: ignore[no-untyped-def]
        passes.append(1)
        for start in range(0, 20, 6):
            yield make_batch(batch.images[start : start + 6], batch.roi[start : start + 6])

    method.fit(network, batches)
    assert len(passes) == 1
    found = method.explain(network, batch)
    values = batch.images.numpy().astype(np.float64)
    mask = batch.roi[0, 0].numpy()
    mean, deviation = values.mean(0)[0], values.std(0)[0]
    assert found.healthy is not None
    np.testing.assert_allclose(found.healthy[3, 0].numpy()[mask], mean[mask], atol=1e-6)
    expected = (values[:, 0] - mean) / deviation.clip(1e-6)
    np.testing.assert_allclose(found.maps["z"].numpy()[:, mask], expected[:, mask], atol=1e-3)


def test_atlas_z_is_signed_and_in_healthy_deviations() -> None:
    method = tiny("atlas")
    network = built(method)
    method.fit(network, lambda: [blob_batch(64)])
    batch = blob_batch(8, seed=5)
    healthy = method.explain(network, batch).maps["z"][batch.roi[:, 0]]
    # Shrinking and blurring widen the deviations where all healthy images agree.
    assert 0.1 < float(healthy.std()) < 1.5
    batch.images[..., 14:18, 14:18] += 0.5
    batch.images[..., 22:24, 14:18] -= 0.3
    z = method.explain(network, batch).maps["z"]
    assert float(z[:, 14:18, 14:18].mean()) > 1.0
    assert float(z[:, 22:24, 14:18].mean()) < -0.5


def test_atlas_tells_heights_apart() -> None:
    low, high = blob_batch(10), blob_batch(10)
    low.position[:] = 0.0
    high.position[:] = 1.0
    high.images.mul_(0.5)
    method = tiny("atlas", shrink=0.0)
    network = built(method)
    method.fit(network, lambda: [low, high])
    first, second = method.explain(network, low).healthy, method.explain(network, high).healthy
    assert first is not None and second is not None
    torch.testing.assert_close(second, first * 0.5, atol=1e-4, rtol=1e-3)
