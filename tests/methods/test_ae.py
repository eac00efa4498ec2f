"""The autoencoders."""

from __future__ import annotations

import pytest
import torch

from tests.methods.scenes import blob_batch, built, tiny, train
from unlesion.errors import BadInput
from unlesion.methods.autoencoder.ae import AutoEncoder
from unlesion.methods.base import InputSpec, count_parameters


@pytest.mark.parametrize(("bottleneck", "millions"), [("dense", 1.63), ("spatial", 1.36)])
def test_published_sizes(bottleneck: str, millions: float) -> None:
    with torch.device("meta"):
        config = AutoEncoder.config_for("paper", {"bottleneck": bottleneck})
        network = AutoEncoder(config, InputSpec(size=128)).build()
    assert count_parameters(network) / 1e6 == pytest.approx(millions, rel=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("bottleneck", ["dense", "spatial"])
@pytest.mark.parametrize("loss", ["l1", "l2", "ssim"])
def test_every_loss_falls(bottleneck: str, loss: str) -> None:
    method = tiny("ae", bottleneck=bottleneck, loss=loss)
    network = built(method)
    batch = blob_batch(64)
    (values,) = train(method, network, batch, steps=40).values()
    assert sum(values[-5:]) < 0.7 * sum(values[:5])
    # SSIM alone would take the negative of the image for perfect.
    healthy = method.explain(network, batch).healthy
    assert healthy is not None
    assert float((healthy - batch.images)[batch.roi].abs().mean()) < 0.25


def test_dense_code_is_evidence_and_spatial_is_not() -> None:
    batch = blob_batch(2)
    for bottleneck, names in (("dense", {"code"}), ("spatial", set())):
        method = tiny("ae", bottleneck=bottleneck)
        assert set(method.explain(built(method), batch).latent) == names


@pytest.mark.slow
def test_the_dense_bottleneck_takes_out_an_unseen_spot() -> None:
    method = tiny("ae")
    network = built(method)
    train(method, network, blob_batch(128), steps=200, per_step=16)
    batch = blob_batch(4, seed=7)
    batch.images[..., 6:12, 18:24] += 0.5 * batch.roi[..., 6:12, 18:24]
    healthy = method.explain(network, batch).healthy
    assert healthy is not None
    residual = (batch.images - healthy).abs()
    elsewhere = batch.roi.clone()
    elsewhere[..., 6:12, 18:24] = False
    assert float(residual[..., 8:10, 20:22].mean()) > 2 * float(residual[elsewhere].mean())


def test_sizes_that_do_not_halve_are_refused() -> None:
    with pytest.raises(BadInput, match=r"recipe\.size"):
        tiny("ae", size=36).build()
