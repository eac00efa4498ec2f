"""cDDPM: the code, its pre-training, and how far a code reaches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.methods.scenes import blob_batch, built, tiny, train
from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, StepContext
from unlesion.methods.diffusion.cddpm import ConditionedDDPM, ConditionedNetwork
from unlesion.methods.diffusion.ddpm import DDPM
from unlesion.methods.registry import describe
from unlesion.networks.visible import draw_visible, on_grid


def method_of(**settings: Any) -> ConditionedDDPM:
    found = tiny("cddpm", **settings)
    assert isinstance(found, ConditionedDDPM)
    return found


def context(seed: int = 0) -> StepContext:
    return StepContext(generator=torch.Generator().manual_seed(seed), progress=0.0, step=0)


def shaken(method: ConditionedDDPM) -> nn.Module:
    """A network none of whose weights are 0, as if trained."""
    network = built(method)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return network.eval()


def test_the_published_network_has_its_size() -> None:
    parts = describe("cddpm")["presets"]["paper"]["parts"]
    assert parts["unet"] == 44_068_481
    assert parts["encoder"] + parts["head"] == 24_550_848
    narrow = ConditionedDDPM(ConditionedDDPM.config_for("paper", {"context": 128}), InputSpec(size=96))
    with torch.device("meta"):
        network = narrow.build()
    assert isinstance(network, ConditionedNetwork)
    assert network.head.out_features == 128
    assert narrow.config.t_test == (250, 500, 750) and narrow.config.mask_ratio == 0.65
    assert narrow.cells == 3


@pytest.mark.parametrize("preset", ["tiny", "cpu", "gpu", "paper"])
def test_the_unet_is_that_of_ddpm(preset: str) -> None:
    ours, theirs = (kind.config_for(preset).model_dump() for kind in (ConditionedDDPM, DDPM))
    assert {name for name in theirs if ours[name] != theirs[name]} <= {"t_test"}


def test_pretraining_can_be_left_out() -> None:
    with_it, without = method_of(pretraining=0.3), method_of(pretraining=0)
    assert [(stage.name, stage.share) for stage in with_it.stages()] == [
        ("pretraining", 0.3),
        ("diffusion", 0.7),
    ]
    assert [(stage.name, stage.share) for stage in without.stages()] == [("diffusion", 1)]
    assert [name for name, _ in built(without).named_children()] == ["unet", "encoder", "head"]


def test_every_stage_trains_its_own_parts() -> None:
    method = method_of()
    network = built(method)
    first, second = method.stages()
    assert first.phases[0].parts == ("encoder", "pretrainer")
    assert len(second.phases) == 1 and second.phases[0].parts == ("unet", "encoder", "head")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    # The ends of the U-Net begin as 0: it takes some steps until anything of the code shows.
    train(method, network, blob_batch(16), steps=4)
    for part in ("unet", "encoder", "head", "pretrainer"):
        names = [name for name in before if name.startswith(f"{part}.")]
        assert any(not torch.equal(before[name], network.state_dict()[name]) for name in names), part


class Told(nn.Module):
    """Keeps what it is given and answers with what it was made with."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer
        self.given: list[Tensor] = []
        self.visible: list[Tensor] = []

    def forward(self, images: Tensor, visible: Tensor | None = None) -> Tensor:
        self.given.append(images)
        self.visible += [] if visible is None else [visible]
        return self.answer

    def features(self, images: Tensor) -> Tensor:
        self.given.append(images)
        return self.answer


def test_pretraining_shows_visible_cells_and_judges_the_others() -> None:
    method = method_of()
    network = built(method)
    batch = blob_batch(6)
    visible = draw_visible(6, (4, 4), masked=0.65, generator=context().generator, device=torch.device("cpu"))
    assert (visible.flatten(1).sum(1) == 6).all()
    shown = on_grid(visible, batch.images)
    encoder = Told(batch.images)
    network.encoder = encoder
    network.pretrainer = Told(torch.zeros_like(batch.images))
    loss = method.pretraining_loss(network, batch, context())["loss"]
    assert torch.equal(encoder.given[0], batch.images * shown)
    torch.testing.assert_close(loss, batch.images[batch.roi & ~shown].square().mean())
    # Right where it was masked is right, whatever stands elsewhere.
    network.pretrainer = Told(torch.where(shown | ~batch.roi, 7.0, batch.images))
    assert float(method.pretraining_loss(network, batch, context())["loss"]) == 0


def test_the_encoder_sees_grey_values_of_the_clean_image() -> None:
    method = method_of()
    network = built(method)
    encoder = Told(torch.zeros(4, 8))
    network.encoder = encoder
    batch = blob_batch(4)
    method.denoising_loss(network, batch, context())
    method.explain(network, batch)
    assert len(encoder.given) == 2
    for given in encoder.given:
        assert torch.equal(given, batch.images)


def test_another_code_draws_another_image() -> None:
    method = method_of(t_test=(750,))
    network = shaken(method)
    batch = blob_batch(4, seed=1)
    darker = replace(batch, images=0.5 * batch.images)
    own = method.swapped(network, batch, batch)
    with torch.no_grad():
        assert torch.equal(own, method.redrawn(network, batch))
    assert own.shape == (1, 4, 1, 32, 32)
    other = method.swapped(network, batch, darker)
    assert float((own - other)[0][batch.roi].abs().mean()) > 1e-3


def test_all_noise_leaves_only_the_code() -> None:
    method = method_of(t_test=(1000,))
    network = shaken(method)
    batch = blob_batch(4)
    # Other images under the same noise: the seeds are those of `batch`.
    other = replace(batch, images=torch.rand(batch.images.shape) * batch.roi)
    first, second = (method.swapped(network, images, batch) for images in (batch, other))
    torch.testing.assert_close(first, second, atol=2e-3, rtol=0)
    # Their own codes, or little noise, tell them apart.
    apart = method.swapped(network, other, other)
    assert float((first - apart)[0][batch.roi].abs().mean()) > 1e-3
    little = method_of(t_test=(1,))
    first, second = (little.swapped(network, images, batch) for images in (batch, other))
    assert float((first - second)[0][batch.roi].abs().mean()) > 0.02


@pytest.mark.parametrize(
    "settings", [{"mask_ratio": 1.0}, {"pretraining": 1.0}, {"encoder_halvings": 6}, {"context": 0}]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        ConditionedDDPM.config_for("tiny", settings)


def test_a_grid_of_one_cell_is_refused() -> None:
    with pytest.raises(BadInput, match="multiple of 16"):
        ConditionedDDPM(ConditionedDDPM.config_for("cpu"), InputSpec(size=16))
