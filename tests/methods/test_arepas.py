"""What is particular to `arepas`; the battery does the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.methods.scenes import blob_batch, built, tiny, train
from unlesion.errors import BadInput
from unlesion.methods.anatomy.arepas import Arepas, ArepasNetwork, abstraction
from unlesion.methods.base import InputSpec, StepContext, count_parameters
from unlesion.scoring import ScanEvidence, ScoringConfig, make_scorer


def context(seed: int = 0) -> StepContext:
    return StepContext(generator=torch.Generator().manual_seed(seed), progress=0.0, step=0)


def disc(size: int = 40, radius: float = 12) -> torch.Tensor:
    axis = torch.arange(size) - (size - 1) / 2
    return ((axis[:, None].square() + axis.square()).sqrt() < radius)[None, None]


def test_a_ramp_is_drawn_as_strong_as_the_knee_says() -> None:
    roi = torch.ones(1, 1, 40, 40, dtype=torch.bool)
    ramp = 0.06 * torch.arange(40.0).expand(1, 1, 40, 40)
    found = abstraction(ramp, roi, smoothing=1.0, knee=0.02)[..., 8:-8, 8:-8]
    torch.testing.assert_close(found, torch.full_like(found, 0.75))


@pytest.mark.parametrize("dims", [2, 3])
def test_even_tissue_has_no_edges_and_its_brightness_no_trace(dims: int) -> None:
    batch = blob_batch(2, channels=2, dims=dims, size=16)
    even = 0.7 * batch.roi.expand_as(batch.images)
    assert abstraction(even, batch.roi, smoothing=1.0, knee=0.02).max() < 1e-4
    one, other = (
        abstraction(images * batch.roi, batch.roi, smoothing=1.0, knee=0.02)
        for images in (batch.images, batch.images + 0.3)
    )
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert 0.2 < one.max() < 1


def test_inside_a_lesion_nothing_of_it_is_left() -> None:
    lesion, roi = disc(), torch.ones(1, 1, 40, 40, dtype=torch.bool)
    found = [
        abstraction(0.5 + difference * lesion, roi, smoothing=1.0, knee=0.02) for difference in (0.3, 0.6)
    ]
    core = disc(radius=6).expand_as(found[0])
    for edges in found:
        assert not edges[core].any()
        assert edges.max() > 0.8
    # Twice the contrast hardly shows at its border.
    assert (found[1] - found[0]).max() < 0.2


def test_the_generator_sees_edges_and_no_grey() -> None:
    method, batch = tiny("arepas"), blob_batch(3)
    network = built(method)
    brighter = replace(batch, images=(batch.images + 0.2) * batch.roi)
    drawn, again = (method.explain(network, one).healthy for one in (batch, brighter))
    assert drawn is not None and again is not None
    torch.testing.assert_close(drawn, again, rtol=1e-3, atol=1e-3)


def test_spurious_contours_are_shown_and_not_asked_for() -> None:
    batch = blob_batch(6, size=64)
    for share, some in ((0.0, False), (1.0, True)):
        method = tiny("arepas", spurious=share, half_axis=6.0)
        assert isinstance(method, Arepas)
        shown = method._disturbed(batch.images, batch.roi, context())
        assert bool((shown != batch.images).any()) is some
        assert torch.equal(shown[~batch.roi], batch.images[~batch.roi])
    # Whatever is shown, it is the image itself that should be drawn.
    network = built(method)
    assert isinstance(network, ArepasNetwork)
    losses = method._generator_turn(network, batch, context())
    drawn = network.draw(method.abstract(shown, batch.roi), batch.roi)
    expected = (drawn - batch.images).abs()[batch.roi].mean()
    torch.testing.assert_close(losses["absolute"], expected, rtol=1e-3, atol=1e-4)


def test_the_loss_is_the_weighted_sum() -> None:
    method, batch = tiny("arepas", absolute=2.0, perceptual=0.5, adversarial=0.25), blob_batch(4)
    losses = method.stages()[0].phases[0].loss(built(method), batch, context())
    expected = 2 * losses["absolute"] + 0.5 * losses["perceptual"] + 0.25 * losses["adversarial"]
    torch.testing.assert_close(losses["loss"], expected)


def test_without_a_critics_judgement_none_is_trained() -> None:
    assert [phase.name for phase in tiny("arepas").stages()[0].phases] == ["generator", "critic"]
    alone = tiny("arepas", adversarial=0)
    assert [phase.name for phase in alone.stages()[0].phases] == ["generator"]
    # Nor do the features of an untrained one judge anything.
    assert "perceptual" not in alone.stages()[0].phases[0].loss(built(alone), blob_batch(4), context())


def test_a_bright_lesion_stands_out_of_the_native_map() -> None:
    method, batch = tiny("arepas"), blob_batch(16)
    network = built(method)
    train(method, network, batch, steps=80)
    ill = blob_batch(2, seed=1)
    lesion = torch.zeros_like(ill.roi)
    lesion[..., 12:18, 5:11] = True
    ill.images[lesion] = 1.3
    healthy = method.explain(network, ill).healthy
    assert healthy is not None
    prepared = Prepared(ill.images.numpy(), ill.roi[:, 0].numpy())
    scorer = make_scorer(ScoringConfig.model_validate(dict(method.native)))
    found = scorer.map(ScanEvidence(prepared=prepared, healthy=healthy.numpy()))
    inside = lesion[:, 0].numpy()
    assert found[inside].mean() > 3 * found[~inside & prepared.roi].mean()


class Prepared:
    """What scoring reads of a prepared scan."""

    def __init__(self, images: object, roi: object) -> None:
        self.images, self.roi = images, roi
        self.positions = torch.zeros(2).numpy()
        self.spacing, self.slice_mm = (7.5, 7.5), 0.0


def test_sizes_that_cannot_be_halved_are_refused() -> None:
    for size, settings in ((31, {}), (16, {"critic_widths": (4, 4, 4, 4)})):
        method = Arepas(Arepas.config_for("tiny", settings), InputSpec(size=size))
        with pytest.raises(BadInput, match="arepas"):
            method.build()


def test_the_reconstructed_network_has_its_size() -> None:
    with torch.device("meta"):
        network = Arepas(Arepas.config_for("paper"), InputSpec(size=128)).build()
    assert count_parameters(network) == 10_465_154
    assert [name for name, _ in network.named_children()] == ["generator", "critic"]
