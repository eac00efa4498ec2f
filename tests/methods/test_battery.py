"""What every method must do, run over all of them at their smallest preset."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from tests.methods import toy
from tests.methods.scenes import blob_batch, built, make_batch, parameters_of, pick, tiny, train
from unlesion.methods.base import StepContext
from unlesion.methods.batch import Batch, Evidence
from unlesion.methods.registry import describe, get_method, method_names

# What scan scores of codes need; see `unlesion.scoring.latent`.
CODES = ("mu", "log_sigma", "mu_redrawn", "log_sigma_redrawn")

assert toy.Toy.name in method_names()
NAMES = method_names()
METHODS = pytest.mark.parametrize("name", NAMES)
FORMS = pytest.mark.parametrize(("channels", "dims"), [(1, 2), (3, 2), (1, 3), (2, 3)])


def side(dims: int) -> int:
    return 32 if dims == 2 else 16


def same(first: Evidence, second: Evidence, **tolerance: float) -> None:
    """Two evidences agree."""
    assert (first.healthy is None) == (second.healthy is None)
    if first.healthy is not None:
        torch.testing.assert_close(first.healthy, second.healthy, **tolerance)
    assert first.maps.keys() == second.maps.keys()
    for name, value in first.maps.items():
        torch.testing.assert_close(value, second.maps[name], **tolerance)
    assert first.latent.keys() == second.latent.keys()
    for name, value in first.latent.items():
        torch.testing.assert_close(value, second.latent[name], **tolerance)


@METHODS
@FORMS
def test_shapes_channels_and_roi(name: str, channels: int, dims: int) -> None:
    batch = blob_batch(3, channels=channels, size=side(dims), dims=dims)
    method = tiny(name, channels=channels, size=side(dims), dims=dims)
    network = built(method)
    train(method, network, batch, steps=1, per_step=3)
    found = method.explain(network, batch)
    outside = ~batch.roi
    if found.healthy is not None:
        assert found.healthy.shape == batch.images.shape
        assert found.healthy.dtype == torch.float32
        assert torch.isfinite(found.healthy).all()
        assert not found.healthy.requires_grad
        assert (found.healthy[outside.expand_as(found.healthy)] == 0).all()
    assert (found.healthy is not None) == method.draws_healthy
    assert found.healthy is not None or found.maps
    for value in found.maps.values():
        assert value.shape == (3, *batch.images.shape[2:])
        assert value.dtype == torch.float32
        assert torch.isfinite(value).all()
        assert not value.requires_grad
        assert (value[outside[:, 0]] == 0).all()
    for code in found.latent.values():
        assert code.ndim == 2 and len(code) == 3
    if method.codes_distribution:
        assert {found.latent[name].shape for name in CODES} == {found.latent["mu"].shape}


@METHODS
def test_native_scoring_names_what_explain_gives(name: str) -> None:
    method = tiny(name)
    network = built(method)
    batch = blob_batch(2)
    train(method, network, batch, steps=1)
    found = method.explain(network, batch)
    rule = str(method.native["rule"])
    if rule.startswith("map:"):
        assert rule.removeprefix("map:") in found.maps
    else:
        assert found.healthy is not None


@METHODS
def test_explain_is_deterministic(name: str) -> None:
    method = tiny(name)
    network = built(method)
    batch = blob_batch(4)
    train(method, network, batch, steps=2)
    torch.manual_seed(1)
    first = method.explain(network, batch)
    torch.manual_seed(2)
    same(first, method.explain(network, batch), rtol=0, atol=0)


@METHODS
@pytest.mark.parametrize("samples", [0, 2])
def test_neighbours_in_the_batch_do_not_matter(name: str, samples: int) -> None:
    if samples and "samples" not in get_method(name).Config.model_fields:
        pytest.skip("draws nothing at detection")
    method = tiny(name, **({"samples": samples} if samples else {}))
    network = built(method)
    batch = blob_batch(5)
    train(method, network, batch, steps=3)
    # A neighbour far from anything seen would show in shared statistics.
    batch.images[0] = 1.5 * batch.roi[0]
    together = method.explain(network, batch)
    for row in range(1, 5):
        alone = method.explain(network, pick(batch, [row]))
        expected = Evidence(
            healthy=None if together.healthy is None else together.healthy[row : row + 1],
            maps={k: v[row : row + 1] for k, v in together.maps.items()},
            latent={k: v[row : row + 1] for k, v in together.latent.items()},
        )
        same(alone, expected, rtol=1e-3, atol=2e-5)


@METHODS
def test_training_is_reproducible(name: str) -> None:
    batch = blob_batch(16)
    states = []
    for _ in range(2):
        method = tiny(name)
        network = built(method)
        train(method, network, batch, steps=3)
        states.append(network.state_dict())
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


@METHODS
def test_state_survives_saving(name: str, tmp_path: Path) -> None:
    method = tiny(name)
    network = built(method)
    batch = blob_batch(4)
    train(method, network, batch, steps=3)
    before = method.explain(network, batch)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    other = built(tiny(name), seed=9)
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    same(before, method.explain(other, batch), rtol=0, atol=0)


@METHODS
def test_loss_falls(name: str) -> None:
    method = tiny(name)
    if not method.stages():
        pytest.skip("nothing is trained in steps")
    # What the second stage of `dal` redraws has to be learnt by the first.
    losses = train(method, built(method), blob_batch(64), steps=120 if name == "dal" else 60)
    assert len(losses) == sum(len(stage.phases) for stage in method.stages())
    for stage in method.stages():
        for phase in stage.phases:
            values = losses[f"{stage.name}.{phase.name}"]
            # A game after a warm-up begins where that ended.
            first = losses["warmup.elbo"] if stage.name == "game" and "warmup.elbo" in losses else values
            assert sum(values[-10:]) / 10 < 0.7 * sum(first[:5]) / 5, (phase.name, values)


@METHODS
def test_what_lies_outside_the_roi_never_matters(name: str) -> None:
    method = tiny(name)
    network = built(method)
    batch = blob_batch(4)
    train(method, network, batch, steps=3)
    images = torch.where(batch.roi, batch.images, torch.rand(batch.images.shape))
    disturbed = make_batch(images, batch.roi)
    same(method.explain(network, batch), method.explain(network, disturbed), rtol=0, atol=0)
    for stage in method.stages():
        for phase in stage.phases:
            losses = [loss_of(phase.loss, network, case) for case in (batch, disturbed)]
            assert losses[0] == losses[1]


def loss_of(loss: object, network: torch.nn.Module, batch: Batch) -> float:
    network.eval()
    context = StepContext(generator=torch.Generator().manual_seed(0), progress=0.5, step=1)
    return float(loss(network, batch, context)["loss"].detach())  # type: ignore[operator]


@METHODS
def test_an_empty_roi_makes_no_nan(name: str) -> None:
    method = tiny(name)
    network = built(method)
    train(method, network, blob_batch(8), steps=2)
    empty = make_batch(torch.zeros(2, 1, 32, 32), torch.zeros(2, 1, 32, 32, dtype=torch.bool))
    found = method.explain(network, empty)
    for value in [*found.maps.values(), *([] if found.healthy is None else [found.healthy])]:
        assert (value == 0).all()
    assert all(code.isfinite().all() for code in found.latent.values())
    for stage in method.stages():
        for phase in stage.phases:
            assert math.isfinite(loss_of(phase.loss, network, empty))


@METHODS
def test_explain_works_in_every_gradient_mode_and_keeps_the_networks_mode(name: str) -> None:
    method = tiny(name)
    network = built(method)
    batch = blob_batch(2)
    train(method, network, batch, steps=1)
    plain = method.explain(network, batch)
    network.train()
    with torch.no_grad():
        same(plain, method.explain(network, batch), rtol=0, atol=0)
    with torch.inference_mode():
        same(plain, method.explain(network, blob_batch(2)), rtol=0, atol=0)
    assert network.training
    assert all(
        parameter.grad is None or not parameter.grad.isnan().any() for parameter in network.parameters()
    )


@METHODS
def test_bfloat16_autocast_trains(name: str) -> None:
    method = tiny(name)
    network = built(method)
    batch = blob_batch(4)
    for stage in method.stages():
        for phase in stage.phases:
            context = StepContext(generator=torch.Generator().manual_seed(0), progress=0.5, step=1)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = phase.loss(network, batch, context)["loss"]
            assert loss.dtype == torch.float32
            loss.backward()
            parts = parameters_of(phase, dict(network.named_children()))
            assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in parts)


@METHODS
def test_facts_are_counted_without_memory(name: str) -> None:
    facts = describe(name)
    for preset in facts["presets"].values():
        assert sum(preset["parts"].values()) == preset["parameters"]
    assert facts["presets"]["tiny"]["parameters"] <= 50_000
    assert facts["presets"]["tiny"]["image_size"] == 32
    assert facts["citation"] and facts["title"]
    if name != toy.Toy.name:
        sizes = {preset: value["image_size"] for preset, value in facts["presets"].items()}
        # What is published has the size that was published.
        assert sizes.pop("paper") in (96, 128, 224, 256)
        assert sizes == {"tiny": 32, "cpu": 64, "gpu": 128}


@METHODS
def test_shares_sum_to_one_and_parts_exist(name: str) -> None:
    method = tiny(name)
    stages = method.stages()
    if stages:
        assert sum(stage.share for stage in stages) == pytest.approx(1.0)
    children = dict(built(method).named_children())
    assert {part for stage in stages for phase in stage.phases for part in phase.parts} <= set(children)


def test_two_stages_one_after_the_other() -> None:
    method = tiny(toy.Toy.name)
    network = built(method)
    batch = blob_batch(16)
    first, second = method.stages()
    seen = []

    def frozen(network: torch.nn.Module) -> dict[str, torch.Tensor]:
        return {
            k: v.clone() for k, v in network.state_dict().items() if k.split(".")[0] in ("encoder", "decoder")
        }

    class Watched(toy.Toy):
        def _between(self, network: torch.nn.Module) -> None:
            super()._between(network)
            seen.append(frozen(network))

    watched = Watched(method.config, method.spec)
    train(watched, network, batch, steps=5)
    assert (first.name, second.name) == ("first", "second")
    assert len(seen) == 1
    # The first parts, running statistics included, are as the first stage left them.
    for key, value in frozen(network).items():
        assert torch.equal(value, seen[0][key]), key
    assert float(network.error_scale) == pytest.approx(0.1)  # type: ignore[arg-type]


# Other values for every setting that training is said not to hang on: a method takes the first that is not its own.
AT_DETECTION: dict[str, tuple[object, ...]] = {
    "across": ("mean",),
    "features": ("unit",),
    "flag": ("fixed", "quantile"),
    "flag_probability": (0.02,),
    "flag_share": (0.3,),
    "fusion": (0.0,),
    "precision": ("bf16",),
    "quantile": (0.8,),
    "restoration": ("chain",),
    "sampler": ("ddim", "one-step"),
    "samples": (2,),
    "smooth": (1.0,),
    "smoothing": (3.0,),
    "step_noise": ("coarse",),
    "steps": (3,),
    "strengths": ((0.5,),),
    "t_test": ((1,),),
    "test_noise": ("pyramid",),
}


@pytest.mark.parametrize("name", [name for name in NAMES if get_method(name).Config.at_detection])
def test_training_does_not_hang_on_settings_of_detection(name: str) -> None:
    before = tiny(name).config
    changed: dict[str, object] = {}
    for setting in sorted(before.at_detection):
        value = next(value for value in AT_DETECTION[setting] if value != getattr(before, setting))
        try:
            tiny(name, **{setting: value})
        except ValidationError:
            continue  # Methods of single steps take no other sampler.
        changed[setting] = value
    assert changed and before.at_detection - changed.keys() <= {"sampler"}
    learnt = []
    for settings in ({}, changed):
        method = tiny(name, **settings)
        network = built(method)
        train(method, network, blob_batch(4), steps=2, per_step=4)
        learnt.append(network.state_dict())
    assert learnt[0].keys() == learnt[1].keys()
    for key, value in learnt[0].items():
        assert torch.equal(value, learnt[1][key]), key
