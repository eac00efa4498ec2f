"""The reversed autoencoder: its embedding loss and its maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter
from skimage.exposure import equalize_adapthist

from tests.methods.scenes import blob_batch, built, make_batch, tiny, train
from tests.networks.test_lpips import write_heads
from unlesion.errors import BadInput
from unlesion.methods.adversarial.network import IntrospectiveNetwork
from unlesion.methods.adversarial.ra import embedding_loss, normalised_by_percentile
from unlesion.methods.base import StepContext
from unlesion.networks.adaptive_equalise import adaptive_equalise
from unlesion.networks.lpips import LPIPS
from unlesion.networks.perceptual import feature_distance
from unlesion.networks.smoothing import blur_inside
from unlesion.networks.squeezenet import SqueezeNetFeatures


def test_the_embedding_loss_never_reaches_the_decoder() -> None:
    method = tiny("ra")
    network = built(method)
    batch = blob_batch(4)
    phase = next(stage for stage in method.stages() if stage.name == "game").phases[0]
    context = StepContext(generator=torch.Generator().manual_seed(0), progress=0.5, step=0)
    phase.loss(network, batch, context)["embedding"].backward()
    assert all(parameter.grad is None for parameter in network.decoder.parameters())  # type: ignore[union-attr]
    levels = network.encoder.levels  # type: ignore[union-attr]
    assert all(float(p.grad.abs().max()) > 0 for p in levels.parameters())  # type: ignore[union-attr]


def test_without_its_weight_it_is_not_computed() -> None:
    method = tiny("ra", embedding=0.0)
    phase = method.stages()[-1].phases[0]
    context = StepContext(generator=torch.Generator().manual_seed(0), progress=0.5, step=0)
    assert "embedding" not in phase.loss(built(method), blob_batch(2), context)


def test_embedding_loss_of_known_features() -> None:
    a = (torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[2.0, 0.0]]]))
    b = (torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[4.0, 0.0]]]))
    # Level 1: half of mean (1, 1) and cosine 0; level 2: half of mean (4, 0) and cosine 1.
    assert float(embedding_loss(a, b)) == pytest.approx(0.5 + 1.0 + 1.0 + 0.0)
    assert float(embedding_loss(a, a)) == pytest.approx(0.0)


def test_maps_are_the_published_products() -> None:
    method = tiny("ra", smoothing=0.0, features="unit")
    network = built(method)
    assert isinstance(network, IntrospectiveNetwork)
    batch = make_batch(blob_batch(2).images, torch.ones(2, 1, 32, 32, dtype=torch.bool))
    train(method, network, batch, steps=2, per_step=2)
    found = method.explain(network, batch)
    assert found.healthy is not None
    assert set(found.maps) == {"midl", "norm95", "plain95"}
    network.eval()
    for row in range(2):
        image, healthy = batch.images[row : row + 1], found.healthy[row : row + 1]
        c_image, c_healthy = (
            torch.from_numpy(equalize_adapthist(x[0, 0].clamp(0, 1.5).numpy() / np.float32(1.5)))[None, None]
            for x in (image, healthy)
        )
        with torch.no_grad():
            look, look_equalised = (
                feature_distance(network.encoder.taps(a), network.encoder.taps(b), (32, 32))[0, 0]
                for a, b in ((image, healthy), (c_image, c_healthy))
            )
        residual = (c_image - c_healthy).abs()[0, 0]
        torch.testing.assert_close(
            found.maps["midl"][row], residual * look * look_equalised, rtol=1e-3, atol=1e-6
        )
        top = np.quantile(residual.numpy(), 0.95)
        expected = (residual / (top + 1e-8)).clamp(max=1.0) * look
        torch.testing.assert_close(found.maps["norm95"][row], expected.float(), rtol=1e-3, atol=1e-6)
        residual = (image.clamp(0, 1.5) - healthy).abs()[0, 0]
        expected = (residual / (np.quantile(residual.numpy(), 0.95) + 1e-8)).clamp(max=1.0) * look
        torch.testing.assert_close(found.maps["plain95"][row], expected, rtol=1e-3, atol=1e-6)


def test_perceptual_maps_are_blurred() -> None:
    network = built(tiny("ra"))
    batch = make_batch(blob_batch(1).images, torch.ones(1, 1, 32, 32, dtype=torch.bool))
    other = batch.images.flip(-1)
    maps = [
        tiny("ra", smoothing=sigma)._perceptual(network, batch.images, other, batch.roi)[0].detach().numpy()  # type: ignore[attr-defined]
        for sigma in (0.0, 2.0)
    ]
    # Away from the border, where the rule for what lies outside differs.
    expected = gaussian_filter(maps[0], 2.0, truncate=3.0)
    np.testing.assert_allclose(maps[1][8:-8, 8:-8], expected[8:-8, 8:-8], rtol=1e-3)


def test_plain_features_are_a_switch() -> None:
    network = built(tiny("ra"))
    batch = blob_batch(1)
    plain, unit = (
        tiny("ra", features=kind)._perceptual(network, batch.images, 0.5 * batch.images, batch.roi)  # type: ignore[attr-defined]
        for kind in ("plain", "unit")
    )
    assert not torch.allclose(plain, unit)


def test_percentile_is_that_of_the_roi() -> None:
    residual = torch.zeros(2, 10, 10)
    residual[:, :5] = torch.linspace(0, 1, 50).reshape(5, 10)
    roi = torch.zeros(2, 10, 10, dtype=torch.bool)
    roi[0, :5] = True
    found = normalised_by_percentile(residual, roi)
    top = float(np.quantile(residual[0, :5].numpy(), 0.95))
    assert float(found[0].max()) == 1.0
    assert float(found[0, 2, 4]) == pytest.approx(float(residual[0, 2, 4]) / top, rel=1e-5)
    assert float(found[1].abs().max()) == 0.0


def test_a_lesion_lights_up() -> None:
    method = tiny("ra")
    network = built(method)
    train(method, network, blob_batch(64), steps=60)
    healthy = blob_batch(4, seed=7)
    images = healthy.images.clone()
    images[:, :, 14:19, 4:9] = 1.4
    ill = make_batch(images * healthy.roi, healthy.roi)
    lesion = torch.zeros(4, 32, 32, dtype=torch.bool)
    lesion[:, 14:19, 4:9] = True
    inside = lesion & healthy.roi[:, 0]
    outside = ~lesion & healthy.roi[:, 0]
    for name, value in method.explain(network, ill).maps.items():
        assert float(value[inside].mean()) > 2 * float(value[outside].mean()), name


@pytest.mark.parametrize("name", ["ra", "phanes"])
def test_maps_of_those_who_have_the_weights_of_lpips(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    backbone = tmp_path / "squeezenet.safetensors"
    save_file(SqueezeNetFeatures().state_dict(), backbone)
    method = tiny(name, perceptual_weights=(backbone, write_heads(tmp_path)))
    network = built(method)
    first = method.stages()[0]
    assert first.before is not None
    first.before(network)
    backbone.unlink()
    network.eval()
    batch = blob_batch(2)
    found = method.explain(network, batch)
    own = tiny(name).explain(network, batch)
    assert not torch.equal(found.maps["norm95"], own.maps["norm95"])
    assert isinstance(network.lpips, LPIPS)
    if name == "ra":
        assert found.healthy is not None
        images, healthy = ((x * batch.roi).clamp(0, 1.5) / 1.5 for x in (batch.images, found.healthy))
        looks = blur_inside(network.lpips(images, healthy), batch.roi, method.config.smoothing)[:, 0]
        residual = found.maps["norm95"] / looks
        assert float(residual[batch.roi[:, 0]].max()) == pytest.approx(1.0, rel=1e-3)
        # Equalised images are shown from 0 to 1 already.
        equal, equal_drawn = (adaptive_equalise(x, ceiling=1.0) * batch.roi for x in (images, healthy))
        looks_equal = blur_inside(network.lpips(equal, equal_drawn), batch.roi, method.config.smoothing)[:, 0]
        expected = (equal - equal_drawn).abs().mean(1) * looks * looks_equal
        torch.testing.assert_close(found.maps["midl"], expected, rtol=1e-3, atol=1e-6)


def test_lpips_looks_at_slices_only(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="slices only"):
        tiny("ra", dims=3, perceptual_weights=(tmp_path / "a", tmp_path / "b")).build()


def test_lpips_needs_some_pixels(tmp_path: Path) -> None:
    files = {"perceptual_weights": (tmp_path / "a", tmp_path / "b")}
    with pytest.raises(BadInput, match="17 pixels a side, not 16"):
        tiny("ra", size=16, **files).build()
