"""Contrastive cDDPM: what its encoder learns from, and that it is frozen afterwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.methods.scenes import blob_batch, built, tiny, train
from unlesion.methods.base import Stage, StepContext
from unlesion.methods.diffusion.cddpm import ConditionedDDPM
from unlesion.methods.diffusion.contrastive_ddpm import ContrastiveDDPM
from unlesion.methods.registry import describe


def method_of(**settings: Any) -> ContrastiveDDPM:
    found = tiny("contrastive-ddpm", **settings)
    assert isinstance(found, ContrastiveDDPM)
    return found


def losses_of(method: ContrastiveDDPM, network: torch.nn.Module) -> dict[str, float]:
    context = StepContext(generator=torch.Generator().manual_seed(0), progress=0.0, step=0)
    named = method.pretraining_loss(network.eval(), blob_batch(6), context)
    return {name: float(value.detach()) for name, value in named.items()}


def test_published_sizes() -> None:
    parts = describe("contrastive-ddpm")["presets"]["paper"]["parts"]
    assert parts["head"] == 2048 * 128 + 128
    assert parts["encoder"] == describe("cddpm")["presets"]["paper"]["parts"]["encoder"]
    assert parts["unet"] == 43_871_873


def test_the_loss_is_that_of_cddpm_and_the_contrast() -> None:
    network = built(method_of())
    found = losses_of(method_of(contrast=0.3), network)
    assert found["loss"] == pytest.approx(found["fill"] + 0.3 * found["contrast"])
    plain = tiny("cddpm")
    assert isinstance(plain, ConditionedDDPM)
    context = StepContext(generator=torch.Generator().manual_seed(0), progress=0.0, step=0)
    assert found["fill"] == pytest.approx(
        float(plain.pretraining_loss(network, blob_batch(6), context)["loss"].detach())
    )
    # Views that are alike leave what images have in common; erased ones are further apart.
    alike = losses_of(method_of(erased=0.0), network)
    assert alike["contrast"] < found["contrast"]
    # A wider margin asks for less.
    assert losses_of(method_of(margin=1.0), network)["contrast"] < found["contrast"]


def test_the_encoder_is_frozen_in_the_diffusion_stage() -> None:
    seen: list[dict[str, torch.Tensor]] = []

    class Watched(ContrastiveDDPM):
        def stages(self) -> list[Stage]:
            first, second = super().stages()
            return [first, Stage(**{**vars(second), "before": self.watch})]

        def watch(self, network: torch.nn.Module) -> None:
            seen.append({name: value.clone() for name, value in network.state_dict().items()})

    method = method_of()
    watched = Watched(method.config, method.spec)
    network = built(watched)
    first = {name: value.clone() for name, value in network.state_dict().items()}
    train(watched, network, blob_batch(16), steps=4)
    (between,) = seen
    changed = {
        when: {name.split(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
        for when, before, after in (
            ("alone", first, between),
            ("diffusion", between, network.state_dict()),
        )
    }
    assert changed == {"alone": {"encoder", "pretrainer"}, "diffusion": {"unet", "head"}}


def test_erasing_matters_less_after_training() -> None:
    method = method_of(pretraining=0.5)
    network = built(method)
    before = losses_of(method, network)["contrast"]
    train(method, network, blob_batch(32), steps=40)
    assert losses_of(method, network)["contrast"] < before - 0.5


def test_an_encoder_that_never_learns_is_refused() -> None:
    with pytest.raises(ValueError, match="pretraining"):
        ContrastiveDDPM.config_for("tiny", {"pretraining": 0})
    assert len(method_of().stages()) == 2
