"""Methods that can be told the modality of every image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.methods.scenes import blob_batch, blob_images, built, make_batch, pick, tiny, train
from tests.methods.test_battery import same
from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, Method, StepContext, count_parameters
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.registry import get_method

KNOWN = ("CXR", "T1")
TOLD = ("vae", "cevae", "si-vae", "ra", "dae", "disyre")
METHODS = pytest.mark.parametrize("name", TOLD)

# Numbers of the tiny networks, as the cards say.
SIZES: Mapping[str, int] = {
    "vae": 24_573, "cevae": 24_573, "si-vae": 38_401, "ra": 38_401, "dae": 29_641, "disyre": 48_361,
}  # fmt: skip


def conditioned(name: str, *, known: tuple[str, ...] = KNOWN, dims: int = 2, **overrides: object) -> Method:
    size = 32 if dims == 2 else 16
    spec = InputSpec(size=size, dims=dims, modalities=("T1",), conditions=known)
    method = get_method(name)
    return method(method.config_for("tiny", {"condition": True, **overrides}), spec)


def of(batch: Batch, *names: str) -> Batch:
    """The batch with these modalities, from the first image on and again."""
    return replace(batch, modality=tuple((names[i % len(names)],) for i in range(len(batch))))


def context() -> StepContext:
    return StepContext(generator=torch.Generator().manual_seed(0), progress=0.5, step=0)


def losses(method: Method, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """The loss of every phase, each on its own."""
    return {
        phase.name: phase.loss(network, batch, context())["loss"]
        for stage in method.stages()
        for phase in stage.phases
    }


@METHODS
@pytest.mark.parametrize("dims", [2, 3])
def test_shapes_and_learning(name: str, dims: int) -> None:
    method = conditioned(name, dims=dims)
    network = built(method)
    batch = of(blob_batch(6, size=32 if dims == 2 else 16, dims=dims), "T1", "CXR")
    train(method, network, batch, steps=2, per_step=4)
    found = method.explain(network, batch)
    assert found.healthy is not None and found.healthy.shape == batch.images.shape
    assert all(value.shape == (6, *batch.images.shape[2:]) for value in found.maps.values())
    assert getattr(network, "condition", None) is None


@METHODS
def test_off_it_is_the_network_of_always(name: str) -> None:
    """Parameters, names and results do not know of the modalities that were seen."""
    plain = tiny(name)
    spec = InputSpec(size=32, modalities=("T1",), conditions=KNOWN)
    other = get_method(name)(plain.config, spec)
    first, second = built(plain), built(other)
    assert count_parameters(first) == SIZES[name]
    assert list(first.state_dict()) == list(second.state_dict())
    batch = blob_batch(4)
    train(plain, first, batch, steps=2)
    train(other, second, of(batch, "T2"), steps=2)
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key
    same(plain.explain(first, batch), other.explain(second, of(batch, "nobody knows")), rtol=0, atol=0)


@METHODS
def test_only_the_first_layers_grow(name: str) -> None:
    plain, told = built(tiny(name)).state_dict(), built(conditioned(name)).state_dict()
    assert plain.keys() == told.keys()
    grown = {key for key, value in told.items() if value.shape != plain[key].shape}
    parts = {key.split(".")[0] for key in grown}
    assert len(grown) == len(parts)
    assert parts == ({"unet"} if name in ("dae", "disyre") else {"encoder", "decoder"})
    for key in grown:
        assert told[key].shape[1] == plain[key].shape[1] + len(KNOWN)


@METHODS
def test_a_gradient_reaches_what_reads_the_condition(name: str) -> None:
    method = conditioned(name)
    network = built(method)
    plain = built(tiny(name)).state_dict()
    grown = {key for key, value in network.state_dict().items() if value.shape != plain[key].shape}
    total = sum(losses(method, network, of(blob_batch(4), "T1", "T1")).values())
    assert isinstance(total, Tensor)
    total.backward()
    column = KNOWN.index("T1") - len(KNOWN)
    for key, parameter in network.named_parameters():
        if key in grown:
            assert parameter.grad is not None
            assert float(parameter.grad[:, column].abs().max()) > 0, key
            # Nobody was of the other modality.
            other = KNOWN.index("CXR") - len(KNOWN)
            assert float(parameter.grad[:, other].abs().max()) == 0, key


@METHODS
def test_the_modality_changes_every_answer(name: str) -> None:
    method = conditioned(name)
    network = built(method)
    batch = blob_batch(3)
    train(method, network, of(batch, "T1", "CXR"), steps=2)
    first, second = (method.explain(network, of(batch, one)) for one in KNOWN)
    assert first.healthy is not None and second.healthy is not None
    assert not torch.allclose(first.healthy, second.healthy, rtol=0, atol=1e-6)
    for kind in ("maps", "latent"):
        for key, value in getattr(first, kind).items():
            assert not torch.equal(value, getattr(second, kind)[key]), key
    # Mixed in a batch, every image gets its own.
    mixed = method.explain(network, of(batch, "T1", "CXR"))
    for row, one in ((0, second), (1, first), (2, second)):
        expected = Evidence(
            healthy=one.healthy[row : row + 1] if one.healthy is not None else None,
            maps={key: value[row : row + 1] for key, value in one.maps.items()},
            latent={key: value[row : row + 1] for key, value in one.latent.items()},
        )
        got = Evidence(
            healthy=mixed.healthy[row : row + 1] if mixed.healthy is not None else None,
            maps={key: value[row : row + 1] for key, value in mixed.maps.items()},
            latent={key: value[row : row + 1] for key, value in mixed.latent.items()},
        )
        same(got, expected, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("name", ["si-vae", "ra"])
def test_both_halves_of_a_game_are_told_alike(name: str) -> None:
    """Batch norm goes through the halves apart; in evaluation mode that makes no difference."""
    apart, together = (conditioned(name, norm=norm, gamma=1.0) for norm in ("batch", "group"))
    batch = of(blob_batch(4), "T1", "CXR")
    network: Any = built(apart).eval()
    told = apart.told(network, batch)  # type: ignore[attr-defined]
    images = torch.cat([batch.images, batch.images.flip(-1)])
    assert network.passes == 2
    codes = told.encode_both(images).mean
    torch.testing.assert_close(codes[:4], told.encode(images[:4]).mean)
    torch.testing.assert_close(codes[4:], told.encode(images[4:]).mean)
    network.passes = 1
    torch.testing.assert_close(told.told_of(slice(0, 4)).encode_both(images).mean, codes)
    losses(together, built(together), batch)


def test_a_told_network_learns_what_an_untold_one_cannot() -> None:
    """The same noise on a grey ball: for one modality the ball is dark, for the other bright."""
    _, roi = blob_images(32)
    grey = torch.tensor([0.2, 0.8]).repeat(16).reshape(-1, 1, 1, 1)
    batch = of(make_batch(grey * roi, roi), "CXR", "T1")
    empty = make_batch(torch.full_like(batch.images, 0.5) * roi, roi)
    method = conditioned("vae", beta=30.0)
    network = built(method)
    train(method, network, batch, steps=80, per_step=16)
    drawn = method.explain(network, pick(of(empty, "CXR", "T1"), [0, 1])).healthy
    assert drawn is not None
    dark, bright = (float(one[inside].mean()) for one, inside in zip(drawn, roi, strict=False))
    assert bright - dark > 0.3


@METHODS
def test_unseen_modalities_are_refused_in_words(name: str) -> None:
    method = conditioned(name)
    network = built(method)
    batch = of(blob_batch(2), "T1", "T2")
    with pytest.raises(BadInput, match=r"scan1: modality T2 .*\(CXR, T1\)"):
        method.explain(network, batch)
    with pytest.raises(BadInput, match="T2"):
        losses(method, network, batch)


@METHODS
def test_it_must_be_known_which_modalities_there_are(name: str) -> None:
    with pytest.raises(ValueError, match="conditions"):
        conditioned(name, known=()).build()


@METHODS
def test_settings_of_before_stay_the_same_record(name: str) -> None:
    config = get_method(name).Config
    off, on = config(), config.model_validate({"condition": True})
    assert "condition" not in off.model_dump(mode="json")
    assert "condition" not in json.loads(off.model_dump_json())
    assert on.model_dump(mode="json")["condition"] is True
    for one in (off, on):
        assert config.model_validate(one.model_dump(mode="json")) == one


@pytest.mark.parametrize("name", ["ae", "mem-ae", "f-anogan", "vq-vae"])
def test_others_cannot_be_told(name: str) -> None:
    with pytest.raises(ValueError, match="condition"):
        get_method(name).config_for("tiny", {"condition": True})


@METHODS
def test_state_survives_saving(name: str, tmp_path: Path) -> None:
    method = conditioned(name)
    network = built(method)
    batch = of(blob_batch(3), "T1", "CXR")
    train(method, network, batch, steps=2)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    other = built(conditioned(name), seed=5)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    same(method.explain(network, batch), method.explain(other, batch), rtol=0, atol=0)


def test_it_can_be_asked_where_gradients_are_off() -> None:
    method = conditioned("vae", samples=2)
    network = built(method)
    batch = of(blob_batch(2), "T1", "CXR")
    expected = method.explain(network, batch)
    with torch.inference_mode():
        same(method.explain(network, of(blob_batch(2), "T1", "CXR")), expected, rtol=1e-6, atol=1e-7)
