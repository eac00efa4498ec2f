"""DAL-style: what an edge map carries, pairs of contrasts, every switch, and that lesions are redrawn."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from tests.methods.scenes import blob_batch, built, make_batch, pick, tiny, train
from unlesion.errors import BadInput
from unlesion.methods.anatomy.corruption import corrupted, edges_of
from unlesion.methods.anatomy.dal import DisentangledAnatomy
from unlesion.methods.anatomy.dal_config import DALConfig
from unlesion.methods.anatomy.dal_network import DALNetwork
from unlesion.methods.anatomy.views import channels_apart, joined, make_views, soft_tissues
from unlesion.methods.base import InputSpec, StepContext
from unlesion.methods.batch import Batch
from unlesion.networks.edges import anatomy_edges
from unlesion.networks.ssim import ssim_map
from unlesion.networks.tissue_prior import TissuePrior
from unlesion.training.refusing import refuse_early


def dal(**overrides: object) -> DisentangledAnatomy:
    return cast(DisentangledAnatomy, tiny("dal", **overrides))


def network_of(method: DisentangledAnatomy) -> DALNetwork:
    return cast(DALNetwork, built(method))


def context(progress: float = 0.5, seed: int = 0) -> StepContext:
    return StepContext(generator=torch.Generator().manual_seed(seed), progress=progress, step=0)


def head(number: int, *, side: int = 32, seed: int = 0, greys: tuple[float, ...] = (0.2, 0.5, 0.8)) -> Batch:
    """Simple heads: grey matter around white matter, two ventricles of changing size."""
    generator = torch.Generator().manual_seed(seed)
    axis = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    size = 0.85 + 0.1 * torch.rand((number, 1, 1), generator=generator)
    shift = 0.06 * torch.randn((number, 1, 1), generator=generator)
    radius = ((y / size) ** 2 + ((x - shift) / (0.85 * size)) ** 2).sqrt()
    labels = torch.where(radius < 0.72 + 0.06 * torch.cos(6 * torch.atan2(y, x)), 2, 1).expand(
        number, side, side
    )
    wide = 0.12 + 0.08 * torch.rand((number, 1, 1), generator=generator)
    for place in (-0.2, 0.2):
        inside = ((x - shift - place) / wide) ** 2 + (y / 0.35) ** 2 < 1
        labels = torch.where(inside, 0, labels)
    images = torch.tensor(greys)[labels] + 0.03 * torch.randn((number, side, side), generator=generator)
    roi = (radius < 1.0)[:, None]
    batch = make_batch(images[:, None] * roi, roi, seed=seed)
    return replace(batch, modality=(("T1",),) * number)


def with_discs(batch: Batch, grey: float) -> tuple[Batch, Tensor]:
    """A disc of one grey in the white matter of every head; where it is."""
    side = batch.images.shape[-1]
    axis = torch.arange(side)
    disc = (axis[:, None] - int(0.6 * side)) ** 2 + (axis[None] - int(0.72 * side)) ** 2 < (0.09 * side) ** 2
    inside = disc.expand_as(batch.images) & batch.roi
    return replace(batch, images=torch.where(inside, grey, batch.images)), inside[:, 0]


def test_stages_and_their_parts() -> None:
    first, second = dal().stages()
    assert (first.name, second.name) == ("disentangle", "restore")
    assert first.share + second.share == pytest.approx(1.0)
    assert [phase.name for phase in second.phases] == ["restorer", "critic"]
    # What the first stage learnt stays as it is in the second.
    assert not set(first.phases[0].parts) & {part for phase in second.phases for part in phase.parts}
    without = dal(adversarial=0.0)
    assert [phase.name for phase in without.stages()[1].phases] == ["restorer"]
    assert "critic" not in dict(built(without).named_children())


def test_frozen_parts_stay_as_they_are_while_anatomy_is_restored() -> None:
    method = dal()
    network = network_of(method)
    batch = head(8)
    train(method, network, batch, steps=2)
    kept = {
        name: value.clone()
        for name, value in network.state_dict().items()
        if name.split(".")[0] in ("anatomy", "imaging", "recoupler", "prior")
    }
    restoring = DisentangledAnatomy(method.config, method.spec)
    restoring.stages = lambda: method.stages()[1:]  # type: ignore[method-assign]
    train(restoring, network, batch, steps=3)
    for name, value in kept.items():
        assert torch.equal(value, network.state_dict()[name]), name
    assert network.residuals.batches > 0


def test_nothing_but_edges_and_the_code_reaches_the_healthy_image() -> None:
    """T8: where the image changes and its anatomy does not, what is redrawn changes through the code alone."""
    method = dal(robust=0, regrade=False)
    network = network_of(method)
    batch = head(2)
    train(method, network, batch, steps=2, per_step=2)
    inner = torch.zeros_like(batch.roi)
    inner[..., 12:20, 12:20] = True
    changed = replace(batch, images=torch.where(inner, batch.images + 1e-4, batch.images))
    one, other = method.redraw(network, batch), method.redraw(network, changed)
    assert torch.equal(one.anatomy, other.anatomy), "the change is meant to be too small for another class"
    assert torch.equal(one.edges, other.edges) and torch.equal(one.restored, other.restored)
    assert not torch.equal(one.code, other.code)
    for found in (one, other):
        drawn = method.recoupled(network, found.restored, found.code, batch.roi)
        torch.testing.assert_close(found.healthy, drawn, rtol=1e-4, atol=1e-5)


def test_nothing_but_edges_reaches_the_restored_anatomy_as_it_ships() -> None:
    """With its defaults, too: the fit of grey values and the code that is read again touch the image alone."""
    method = dal()
    network = network_of(method)
    batch = head(2)
    train(method, network, batch, steps=2, per_step=2)
    found = method.redraw(network, batch)
    with torch.no_grad():
        again = method._anatomy(
            method._restore(network.eval(), found.edges, batch.roi, batch.position), batch.roi, 0.3
        )
    assert torch.equal(again, found.restored)


def test_of_tissues_there_are_no_edges_between_their_parts() -> None:
    labels = torch.zeros(1, 10, 16, 16)
    labels[:, 4] = 1.0
    parts, tissues = labels.clone(), labels.clone()
    parts[:, 4, 4:12, 4:12], parts[:, 6, 4:12, 4:12] = 0.0, 1.0
    tissues[:, 4, 4:12, 4:12], tissues[:, 7, 4:12, 4:12] = 0.0, 1.0
    config = DALConfig(edge_planes="tissues")
    unused = torch.zeros(1, 1, 16, 16)
    of_parts, of_tissues = (edges_of(one, unused, unused > 0, config) for one in (parts, tissues))
    assert config.planes(9) == of_parts.shape[1] == 4
    assert (of_parts == 0).all() and (of_tissues[:, 2:] > 0).any() and (of_tissues[:, :2] == 0).all()


def test_random_maps_for_all_are_refused_where_the_prior_reads_the_order_of_tissues() -> None:
    with pytest.raises(BadInput, match=r"training.recontrast: dal.* method.prior=none"):
        refuse_early(dal(), None, "map:fused", batch=8, recontrast=0.5, resume=False)
    refuse_early(dal(), None, "map:fused", batch=8, recontrast=0.0, resume=False)
    refuse_early(dal(prior="none"), None, "map:fused", batch=8, recontrast=0.5, resume=False)


def test_the_inside_of_a_homogeneous_region_leaves_no_trace() -> None:
    labels = torch.zeros(1, 4, 16, 16)
    labels[:, 1] = 1.0
    blob = labels.clone()
    blob[:, 1, 4:12, 4:12], blob[:, 2, 4:12, 4:12] = 0.0, 1.0
    mottled = blob.clone()
    mottled[:, 2, 6:10, 6:10], mottled[:, 3, 6:10, 6:10] = 0.0, 1.0
    assert (anatomy_edges(blob)[..., 6:10, 6:10] == 0).all()
    assert (anatomy_edges(mottled)[..., 6:10, 6:10] != 0).any()


def test_anatomy_is_one_hot_with_the_background_outside() -> None:
    method = dal()
    network = network_of(method)
    batch = head(3)
    train(method, network, batch, steps=2, per_step=3)
    found = method.redraw(network, batch)
    for anatomy in (found.anatomy, found.restored):
        assert anatomy.shape == (3, 10, 32, 32)
        assert torch.equal(anatomy.sum(1), torch.ones(3, 32, 32))
        assert set(anatomy.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(anatomy[:, :1] == 1, ~batch.roi)
    soft = dal(operator="softmax").redraw(network, batch)
    assert len(soft.anatomy.unique()) > 10


def test_channels_are_taken_apart_and_joined_again() -> None:
    images = torch.arange(24.0).reshape(2, 3, 2, 2)
    apart = channels_apart(images)
    assert apart.shape == (6, 1, 2, 2) and torch.equal(apart[1, 0], images[0, 1])
    assert torch.equal(joined(apart, 3), images)


def test_pairs_are_other_channels_where_there_are_any_and_random_maps_else() -> None:
    config = DALConfig()
    prior = TissuePrior(3, subclasses=3)
    several = blob_batch(4, channels=3)
    views = make_views(prior, several, config, torch.Generator().manual_seed(0))
    assert views.first.shape == views.second.shape == (12, 1, 32, 32)
    first, second = joined(views.first, 3), joined(views.second, 3)
    assert torch.equal(first, several.images * several.roi)
    others = [first.roll(by, 1) for by in (1, 2)]
    assert any(torch.equal(second, other) for other in others)
    # One anatomy, so one prior for all channels of an image.
    assert views.tissues is not None
    planes = views.tissues.unflatten(0, (4, 3))
    assert torch.equal(planes[:, 0], planes[:, 2])
    single = make_views(prior, head(4), config, torch.Generator().manual_seed(0))
    assert not torch.equal(single.first, single.second)
    assert (single.second[~single.roi] == 0).all()
    mapped = make_views(prior, several, DALConfig(pairs="maps"), torch.Generator().manual_seed(0))
    assert not any(torch.equal(joined(mapped.second, 3), other) for other in [first, *others])
    none = make_views(prior, head(2), DALConfig(prior="none"), torch.Generator().manual_seed(0))
    assert none.tissues is None


def test_the_prior_reads_the_channel_whose_order_is_known() -> None:
    one = head(4)
    images = torch.cat([torch.rand(4, 1, 32, 32) * one.roi, one.images], dim=1)
    both = replace(one, images=images, modality=(("CT", "T1"),) * 4)
    config = DALConfig()
    alone, beside = (soft_tissues(TissuePrior(3, subclasses=3), batch, config) for batch in (one, both))
    torch.testing.assert_close(alone, beside)


def test_the_template_is_a_prior_for_slices_and_volumes() -> None:
    for dims, size in ((2, 32), (3, 16)):
        batch = blob_batch(2, size=size, dims=dims)
        method = cast(DisentangledAnatomy, tiny("dal", size=size, dims=dims, prior="template"))
        network = network_of(method)
        named = method._parting_turn(network, batch, context())
        assert named["prior"].isfinite() and named["prior"] > 0
    with pytest.raises(BadInput, match="three tissues"):
        dal(prior="template", tissues=4).build()


def test_the_template_says_nothing_of_a_contrast_that_is_not_known() -> None:
    """Its planes are fluid, grey and white matter; classes numbered by brightness are not."""
    batch, config = head(4), DALConfig(prior="template")

    def found(name: str, height: float) -> torch.Tensor:
        placed = replace(batch, modality=((name,),) * 4, position=torch.full((4,), height))
        return soft_tissues(TissuePrior(3, subclasses=3).eval(), placed, config)

    assert not torch.equal(found("T1", 0.3), found("T1", 0.8))
    assert torch.equal(found("PD", 0.3), found("PD", 0.8))


SWITCHES = [
    {"operator": "softmax"},
    {"operator": "gumbel"},
    {"operator": "rounding"},
    {"prior": "none"},
    {"cross_weight": 0.0, "self_weight": 1.0},
    {"edges": "none"},
    {"edges": "canny"},
    {"edge_planes": "one"},
    {"edge_planes": "tissues"},
    {"spurious": "none"},
    {"spurious": "pasted"},
    {"robust": 0, "regrade": False, "fusion": 0.0},
    {"code_recovery": 0.0, "leak": 0.0, "invariance": 0.0, "similarity": 0.0, "drawn_weight": 0.0},
]


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda one: "-".join(f"{k}={v}" for k, v in one.items()))
def test_every_ablation_trains_and_detects(switch: dict[str, object]) -> None:
    method = dal(**switch)
    network = network_of(method)
    batch = head(4)
    losses = train(method, network, batch, steps=2, per_step=4)
    assert all(torch.tensor(values).isfinite().all() for values in losses.values())
    found = method.explain(network, batch)
    assert found.healthy is not None and found.healthy.isfinite().all()
    if switch.get("fusion") == 0.0:
        ratio = found.maps["fused"][batch.roi[:, 0]] / found.maps["residual"][batch.roi[:, 0]].clamp(min=1e-6)
        assert float(ratio.std()) < 1e-2 * float(ratio.mean())


def test_terms_that_are_switched_off_are_gone() -> None:
    method = dal(cross_weight=0.0, self_weight=1.0, prior="none", leak=0.0)
    named = method._parting_turn(network_of(method), head(2), context())
    assert set(named) == {"loss", "self", "invariance", "kl", "code"}
    assert set(dal()._parting_turn(network_of(dal()), head(2), context())) == {
        "loss", "cross", "invariance", "prior", "kl", "code", "leak",
    }  # fmt: skip


def test_what_moves_over_the_first_stage() -> None:
    method = dal()
    assert method.config.temperature_at(0.0) == pytest.approx(1.0)
    assert method.config.temperature_at(0.15) == pytest.approx(0.65)
    assert method.config.temperature_at(0.3) == method.config.temperature_at(0.9) == pytest.approx(0.3)
    assert method.config.prior_weight_at(0.0) == pytest.approx(1.0)
    assert method.config.prior_weight_at(1.0) == pytest.approx(0.1)


@pytest.mark.parametrize("spurious", ["pasted", "painted"])
def test_spurious_contours_change_edges_and_the_target_stays_clean(spurious: str) -> None:
    batch = head(16)
    method = dal(spurious=spurious, corrupted_share=1.0, dropped=0.0, jitter=0.0)
    network = network_of(method)
    train(dal(), network, batch, steps=3)
    network.eval()
    config = cast(DALConfig, method.config)
    with torch.no_grad():
        encode = lambda images: method._anatomy(method._logits(network, images), batch.roi, 0.3)  # noqa: E731
        anatomy = encode(batch.images)
        before = anatomy.clone()
        clean = edges_of(anatomy, batch.images, batch.roi, config)
        spoilt, where = corrupted(
            anatomy,
            batch.images,
            batch.roi,
            config,
            generator=torch.Generator().manual_seed(0),
            encode=encode,
        )
    assert torch.equal(anatomy, before)
    more, fewer = ((spoilt > clean).sum(), (spoilt < clean).sum())
    assert more > 0 and fewer > 0
    # There are more edges only where something is told to be spurious, and at its border.
    near = torch.nn.functional.max_pool2d(where.float(), 3, stride=1, padding=1) > 0
    if spurious == "pasted":
        assert not ((spoilt > clean) & ~near).any()
    assert 0.02 < float(where[batch.roi].float().mean()) < 0.6


@pytest.fixture(scope="module")
def learnt() -> tuple[DisentangledAnatomy, DALNetwork]:
    """Some 10 seconds of learning on simple heads."""
    method = dal()
    network = network_of(method)
    train(method, network, head(128), steps=80)
    return method, network


@pytest.mark.slow
def test_the_robust_code_hardly_moves_with_a_lesion(learnt: tuple[DisentangledAnatomy, DALNetwork]) -> None:
    batch = head(24, seed=2)
    lesioned, _ = with_discs(batch, 1.4)
    moves = {}
    for rounds in (0, 3):
        codes = [dal(robust=rounds).redraw(learnt[1], one).code for one in (batch, lesioned)]
        moves[rounds] = float((codes[0] - codes[1]).abs().mean() / codes[0].abs().mean())
    # After so short a training it depends on how a machine rounds: below 0.6 on some, 0.603 on one.
    assert moves[3] < 0.7 * moves[0]


@pytest.mark.slow
def test_lesions_are_redrawn_and_healthy_tissue_is_kept(
    learnt: tuple[DisentangledAnatomy, DALNetwork],
) -> None:
    """T6 and T7 on simple heads; `benchmarks/dal_acceptance.py` has them for real runs."""
    method, network = learnt
    fresh = head(8, seed=1)
    inside = fresh.roi[:, 0]
    found = method.redraw(network, fresh)
    assert float(ssim_map(found.healthy, fresh.images)[fresh.roi].mean()) > 0.85
    # A disc as dark as fluid: a legal class in a place where none is.
    lesioned, where = with_discs(fresh, 0.2)
    residual = (method.redraw(network, lesioned).healthy - lesioned.images).abs()[:, 0]
    precision = average_precision_score(where[inside].numpy(), residual[inside].numpy())
    assert precision > 0.4 > 4 * float(where[inside].float().mean())


def test_pictures_of_a_wrong_size_are_refused() -> None:
    with pytest.raises(BadInput, match="multiple"):
        DisentangledAnatomy(DALConfig(), InputSpec(size=40)).build()


def test_rows_of_a_batch_are_redrawn_alone() -> None:
    method = dal()
    network = network_of(method)
    batch = head(4)
    train(method, network, batch, steps=2, per_step=4)
    together = method.redraw(network, batch)
    alone = method.redraw(network, pick(batch, [2]))
    assert torch.equal(together.healthy[2:3], alone.healthy)
    assert torch.equal(together.code[2:3], alone.code)
