"""PHANES: the mask, what is put there, and the game between generator and critic."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from tests.methods.scenes import blob_batch, built, make_batch, pick, tiny, train
from unlesion.errors import BadInput
from unlesion.methods.adversarial.phanes import Phanes, PhanesNetwork
from unlesion.methods.base import InputSpec, Phase, StepContext
from unlesion.methods.registry import describe, get_method


def phanes(**overrides: object) -> Phanes:
    return cast(Phanes, tiny("phanes", **overrides))


def network_of(method: Phanes) -> PhanesNetwork:
    return cast(PhanesNetwork, built(method))


def context() -> StepContext:
    return StepContext(generator=torch.Generator().manual_seed(0), progress=0.5, step=0)


def phase_of(method: Phanes, name: str) -> Phase:
    (found,) = [phase for phase in method.stages()[-1].phases if phase.name == name]
    return found


def everywhere(images: Tensor) -> Tensor:
    return torch.ones(len(images), 1, *images.shape[2:], dtype=torch.bool)


def test_published_sizes() -> None:
    paper = describe("phanes")["presets"]["paper"]
    assert paper["parts"]["generator"] == 15_193_409
    assert paper["parts"]["encoder"] + paper["parts"]["decoder"] == 29_430_785
    assert paper["parts"]["critic"] == 2_761_729
    assert paper["parts"]["threshold"] == 0


def test_stages_are_those_of_ra_and_one_more() -> None:
    ours, theirs = phanes().stages(), tiny("ra").stages()
    assert [stage.name for stage in ours] == [*[stage.name for stage in theirs], "inpainting"]
    assert [stage.share for stage in ours[:-1]] == pytest.approx([0.6 * stage.share for stage in theirs])
    assert ours[-1].share == pytest.approx(0.4)
    method = get_method("phanes")
    paper = method(method.config_for("paper"), InputSpec(size=128)).stages()
    assert [stage.name for stage in paper] == ["game", "inpainting"]


def test_only_what_is_masked_is_replaced() -> None:
    method = phanes(smoothing=0.0)
    network = network_of(method)
    batch = blob_batch(3)
    train(method, network, batch, steps=3, per_step=3)
    found = method.explain(network, batch)
    mask = found.maps["mask"][:, None] > 0
    assert set(found.maps["mask"].unique().tolist()) == {0.0, 1.0}
    assert found.healthy is not None
    network.eval()
    with torch.no_grad():
        # One by one, as detection does it: the last bit counts.
        drawn = torch.cat(
            [network.generator(a, b) for a, b in zip(batch.images.split(1), mask.split(1), strict=True)]
        )
        assert torch.equal(found.healthy, torch.where(mask, drawn, batch.images))
        looks = method._perceptual(network, batch.images, found.healthy, batch.roi)
    change = (batch.images - found.healthy).abs()[:, 0] * looks
    torch.testing.assert_close(found.maps["phanes"], change, rtol=1e-3, atol=1e-7)
    assert (found.maps["phanes"][~mask[:, 0]] == 0).all()
    assert (found.maps["phanes"] > 0).any()


def test_suspicion_is_that_of_ra() -> None:
    method, network, batch = phanes(), network_of(phanes()), blob_batch(2)
    settings = {"latent": method.config.latent}
    theirs = tiny("ra", **settings).explain(network, batch).maps["norm95"]
    torch.testing.assert_close(method.explain(network, batch).maps["norm95"], theirs, rtol=1e-4, atol=1e-7)


def test_the_threshold_is_a_quantile_of_training_pixels() -> None:
    method = phanes(mask_smoothing=0.0)
    network = network_of(method)
    seen = torch.linspace(0.01, 1.0, 1000)
    network.threshold.add(seen.log())
    suspicion = seen[:900].reshape(1, 30, 30)
    mask = method._mask(network, suspicion, everywhere(suspicion[:, None]), 0.8)
    # A bin of the histogram is 1.4 % wide.
    assert int(mask.sum()) == pytest.approx(100, abs=12)
    assert (mask[0, 0].flatten()[:-1] <= mask[0, 0].flatten()[1:]).all()


def test_or_of_the_image_itself() -> None:
    method = phanes(mask_smoothing=0.0, threshold="image")
    suspicion = torch.rand(2, 32, 32, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [1.0, 9.0]
    ).reshape(2, 1, 1)
    roi = everywhere(suspicion[:, None])
    roi[1, :, :16] = False
    mask = method._mask(network_of(method), suspicion, roi, 0.95)
    assert mask.flatten(1).sum(1).tolist() == pytest.approx([51, 26], abs=1)
    assert not (mask & ~roi).any()


def test_smoothing_takes_in_a_little_around() -> None:
    method = phanes(mask_smoothing=1.2)
    network = network_of(method)
    network.threshold.add(torch.zeros(10))
    suspicion = torch.zeros(1, 32, 32)
    suspicion[0, 10:20, 10:20] = 5.0
    suspicion[0, 27, 4] = 5.0
    mask = method._mask(network, suspicion, everywhere(suspicion[:, None]), 0.5)[0, 0]
    assert mask[9:21, 10:20].all() and not mask[7, :].any()
    # The peak of a Gaussian of 1.2 pixels is 0.11.
    assert int(mask[25:30, 2:7].sum()) == 1


def test_the_threshold_learns_in_training_alone() -> None:
    method = phanes(own_masks=1.0)
    network, phase = network_of(method), phase_of(method, "generator")
    network.eval()
    phase.loss(network, blob_batch(4), context())
    assert float(network.threshold.batches) == 0
    network.threshold.train()
    method._generator_turn(network, blob_batch(4), context())
    batch = blob_batch(4)
    assert float(network.threshold.batches) == 1
    assert float(network.threshold.counts.sum()) == float(batch.roi.sum())


def test_a_share_of_training_masks_holds_what_was_found() -> None:
    batch = blob_batch(4)
    images = batch.images * batch.roi
    for share, some in ((1.0, 4), (0.5, 2), (0.3, 2)):
        method = phanes(own_masks=share, training_quantile=0.3)
        network = network_of(method).train()
        whole, random = method._training_masks(network, images, batch.roi, context())
        assert (random <= whole).all() and not (whole & ~batch.roi).any()
        grown = (whole & ~random).flatten(1).any(1)
        assert grown.tolist() == [row < some for row in range(4)]


def gradients(value: Tensor, part: nn.Module) -> float:
    found = torch.autograd.grad(value, list(part.parameters()), retain_graph=True, allow_unused=True)
    return sum(float(one.abs().sum()) for one in found if one is not None)


@pytest.mark.parametrize("term", ["absolute", "style", "perceptual", "adversarial"])
def test_every_term_reaches_the_generator(term: str) -> None:
    method = phanes()
    # In training the critic's norms would be estimated once more by each loss.
    network = network_of(method).eval()
    named = phase_of(method, "generator").loss(network, blob_batch(4), context())
    assert gradients(named[term], network.generator) > 0
    others = {name: 0.0 for name in ("absolute", "style", "perceptual", "adversarial") if name != term}
    alone = phanes(**others, **{term: 3.0})
    loss = phase_of(alone, "generator").loss(network, blob_batch(4), context())["loss"]
    assert float(loss.detach()) == pytest.approx(3.0 * float(named[term].detach()), rel=1e-5)


def test_the_released_game_has_no_critic() -> None:
    method = phanes(adversarial=0.0)
    assert [phase.name for phase in method.stages()[-1].phases] == ["generator"]
    named = phase_of(method, "generator").loss(network_of(method), blob_batch(2), context())
    assert "adversarial" not in named


def test_critic_and_generator_pull_apart_or_together() -> None:
    """What lowers the generator's loss raises the critic's, unless the goal is the released one."""
    batch = blob_batch(4)
    signs = {}
    for goal in ("real", "drawn"):
        method = phanes(adversarial_goal=goal, critic_blur=0.0)
        network = network_of(method).eval()
        last = network.critic.steps[-1]
        losses = []
        for bias in (0.3, 0.7):
            with torch.no_grad():
                last.bias.fill_(bias)  # type: ignore[union-attr,operator]
            losses.append(float(method._generator_turn(network, batch, context())["adversarial"].detach()))
        signs[goal] = losses[1] > losses[0]
    # A critic that says "drawn" louder is worse for a generator that wants to look real.
    assert signs == {"real": True, "drawn": False}


def test_the_critic_looks_for_the_whole_mask_or_its_random_part() -> None:
    batch = blob_batch(4)
    masks = {}
    for target in ("whole", "random"):
        method = phanes(critic_target=target, training_quantile=0.3)
        network = network_of(method).train()
        moment = context()
        phase_of(method, "generator").loss(network, batch, moment)
        masks[target] = moment.shared["mask"]
        assert not moment.shared["composite"].requires_grad
        loss = phase_of(method, "critic").loss(network, batch, moment)["loss"]
        assert gradients(loss, network.critic) > 0
        assert gradients(loss, network.generator) == 0
    assert (masks["random"] <= masks["whole"]).all()
    assert masks["random"].sum() < masks["whole"].sum()


def test_the_inpainter_learns_and_leaves_the_autoencoder_alone() -> None:
    class Last(Phanes):
        def stages(self) -> list:  # type: ignore[type-arg]
            return super().stages()[-1:]

    method = Last(Phanes.config_for("tiny"), InputSpec(size=32))
    network = network_of(method)
    before = {
        k: v.clone() for k, v in network.state_dict().items() if k.split(".")[0] in ("encoder", "decoder")
    }
    losses = train(method, network, blob_batch(64), steps=60)["inpainting.generator"]
    assert sum(losses[-10:]) / 10 < 0.5 * sum(losses[:5]) / 5
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())


def test_a_lesion_is_replaced() -> None:
    method = phanes()
    network = network_of(method)
    train(method, network, blob_batch(64), steps=30)
    healthy = blob_batch(4, seed=7)
    images = healthy.images.clone()
    images[:, :, 14:19, 4:9] = 1.4
    lesion = torch.zeros(4, 1, 32, 32, dtype=torch.bool)
    lesion[..., 14:19, 4:9] = True
    lesion &= healthy.roi
    found = method.explain(network, make_batch(images * healthy.roi, healthy.roi))
    assert found.healthy is not None
    left = (found.healthy - healthy.images)[lesion].abs().mean()
    assert float(left) < 0.4 * float((images - healthy.images)[lesion].abs().mean())
    inside, outside = lesion[:, 0], ~lesion[:, 0] & healthy.roi[:, 0]
    for name in ("phanes", "norm95"):
        value = found.maps[name]
        assert float(value[inside].mean()) > 2 * float(value[outside].mean()), name
    assert found.maps["mask"][inside].mean() > 0.95


def test_too_small_images_are_refused_in_words() -> None:
    with pytest.raises(BadInput, match="dilation of 8 needs more than 32 pixels"):
        built(phanes(dilations=(1, 8)))
    with pytest.raises(BadInput, match=r"critic halves images 4 times.*32"):
        built(phanes(critic_widths=(4, 4, 4, 4, 4)))


def test_the_autoencoder_may_be_told_the_modality() -> None:
    spec = InputSpec(size=32, modalities=("T1",), conditions=("CXR", "T1"))
    method = Phanes(Phanes.config_for("tiny", {"condition": True, "own_masks": 0.5}), spec)
    network = network_of(method)
    batch = replace(blob_batch(6), modality=(("T1",), ("CXR",)) * 3)
    train(method, network, batch, steps=2, per_step=4)
    together = method.explain(network, batch)
    alone = method.explain(network, pick(batch, [3]))
    for name, value in alone.maps.items():
        torch.testing.assert_close(value[0], together.maps[name][3], rtol=1e-3, atol=2e-5)
    other = replace(pick(batch, [3]), modality=(("T1",),))
    assert not torch.equal(method.explain(network, other).maps["norm95"], alone.maps["norm95"])
