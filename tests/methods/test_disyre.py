"""Restoration of synthetic anomalies, and the anomalies themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.methods.scenes import blob_batch, blob_images, built, make_batch, tiny, train
from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, StepContext, count_parameters
from unlesion.methods.batch import Batch
from unlesion.methods.denoising import anomalies
from unlesion.methods.denoising.anomalies import BRIGHTEST, GradedAnomalies
from unlesion.methods.denoising.disyre import Disyre, DisyreNetwork, chain, ensemble, schedule_strengths
from unlesion.methods.registry import describe
from unlesion.networks.diffusion.unet import DiffusionUNet

FORMS = pytest.mark.parametrize(("channels", "dims"), [(1, 2), (3, 2), (2, 3)])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def grainy(number: int = 64, *, channels: int = 1, dims: int = 2, seed: int = 0) -> Batch:
    """Blobs with a grain, so that a piece of one image differs from what it is put over."""
    images, roi = blob_images(number, channels=channels, size=32 if dims == 2 else 16, dims=dims, seed=seed)
    grain = 0.05 * torch.randn(images.shape, generator=generator(seed))
    return make_batch((images + grain).clamp(0, 1.4) * roi, roi, seed=seed)


def largest(values: Tensor) -> Tensor:
    return values.abs().flatten(1).amax(1)


def test_told_strengths_are_those_of_the_published_schedule() -> None:
    assert schedule_strengths(4) == pytest.approx([0.0045, 0.051, 0.272, 0.727], abs=6e-4)
    assert schedule_strengths(5) == pytest.approx([0.0045, 0.033, 0.152, 0.438, 0.816], abs=6e-4)
    assert len(schedule_strengths(100)) == 100 and schedule_strengths(100)[-1] == pytest.approx(
        0.9995, abs=1e-4
    )
    assert Disyre.Config(steps=5).told == tuple(reversed(schedule_strengths(5)))
    assert Disyre.Config(strengths=(0.1, 0.6)).told == (0.6, 0.1)


@FORMS
@pytest.mark.parametrize(
    "kinds", [("patch",), ("texture",), ("bias",), ("texture", "bias"), ("patch", "texture")]
)
def test_nothing_changes_outside_the_shape_and_the_roi(
    channels: int, dims: int, kinds: tuple[str, ...]
) -> None:
    batch = grainy(16, channels=channels, dims=dims)
    found = GradedAnomalies(kinds=kinds).over(batch, generator=generator())  # type: ignore[arg-type]
    clean = batch.images * batch.roi
    assert torch.equal(
        found.images[(found.shape == 0).expand_as(clean)], clean[(found.shape == 0).expand_as(clean)]
    )
    assert (found.shape[~batch.roi] == 0).all()
    assert float(found.shape.amax()) <= 1.0 and float(found.images.amin()) >= 0.0
    assert float(found.images.amax()) <= BRIGHTEST
    assert found.strength.shape == (16,) and ((found.strength >= 0) & (found.strength <= 1)).all()
    assert torch.equal(found.strength, torch.maximum(found.blended, found.biased))
    # Nearly every image is changed; a shape may be cut off by the roi.
    assert int((largest(found.images - clean) > 0).sum()) >= 14


@pytest.mark.parametrize("kinds", [("patch",), ("texture", "bias")])
def test_at_strength_zero_the_image_stays_exactly_as_it_is(
    monkeypatch: pytest.MonkeyPatch, kinds: tuple[str, ...]
) -> None:
    monkeypatch.setattr(anomalies, "uniform", lambda shape, *, generator, device: torch.zeros(shape))
    batch = grainy(4)
    found = GradedAnomalies(kinds=kinds).over(batch, generator=generator())  # type: ignore[arg-type]
    assert torch.equal(found.images, batch.images * batch.roi)
    assert (found.strength == 0).all()


def test_a_bias_changes_no_more_than_it_may() -> None:
    batch = blob_batch(64)
    for most in (0.1, 0.35):
        found = GradedAnomalies(kinds=("bias",), bias=most).over(batch, generator=generator())
        change = (found.images - batch.images * batch.roi).abs().amax()
        assert 0.8 * most < float(change) <= most + 1e-6
        assert float(found.strength.max()) <= most + 1e-6


@FORMS
@pytest.mark.parametrize("tissues", [1, 5])
def test_the_strength_of_a_bias_is_its_largest_change(channels: int, dims: int, tissues: int) -> None:
    batch = grainy(channels=channels, dims=dims)
    found = GradedAnomalies(kinds=("bias",), tissues=tissues).over(batch, generator=generator())
    clean = batch.images * batch.roi
    assert torch.equal(found.strength, largest(found.images - clean))
    assert float(found.strength.max()) > 0.5 and (found.blended == 0).all()
    # Some are brightened, some darkened.
    sign = (found.images - clean).flatten(1).sum(1).sign()
    assert (sign > 0).any() and (sign < 0).any()


def test_of_one_class_everything_in_the_shape_is_changed_alike_of_several_some() -> None:
    images, roi = torch.full((64, 1, 32, 32), 0.3), torch.ones(64, 1, 32, 32, dtype=torch.bool)
    # Two tissues, in stripes wide enough to be told apart.
    images[..., ::8] = images[..., 1::8] = images[..., 2::8] = images[..., 3::8] = 0.7
    batch = make_batch(images, roi)
    untouched = []
    for tissues in (1, 2):
        drawn = GradedAnomalies(
            kinds=("bias",), tissues=tissues, softness=0.0, blob_sides=(0.6, 0.7), shapes=("blob",)
        )
        found = drawn.over(batch, generator=generator())
        assert float(found.shape[found.shape > 0].min()) == 1.0
        inside = (found.shape > 0) & (largest(found.images - images) > 0.05).reshape(-1, 1, 1, 1)
        untouched.append(float(((found.images - images).abs() < 1e-3)[inside].float().mean()))
    assert untouched[0] == 0.0 and 0.05 < untouched[1] < 0.5


def test_a_fitted_texture_stays_in_the_range_of_what_it_covers_a_patch_does_not() -> None:
    """So that texture cannot be told by grey value: v2 keeps the two apart."""
    batch = grainy(64)
    outside = {}
    for kind in ("texture", "patch"):
        found = GradedAnomalies(kinds=(kind,), shapes=("ball",)).over(batch, generator=generator())  # type: ignore[arg-type]
        where = found.shape > 0
        clean = batch.images * batch.roi
        low = clean.masked_fill(~where, 9.0).flatten(1).amin(1).reshape(-1, 1, 1, 1)
        high = clean.masked_fill(~where, -9.0).flatten(1).amax(1).reshape(-1, 1, 1, 1)
        beyond = (found.images < low - 1e-5) | (found.images > high + 1e-5)
        outside[kind] = float(beyond[where].float().mean())
    assert outside["texture"] == 0.0 and outside["patch"] > 0.01


def test_soft_shapes_end_somewhere() -> None:
    small = GradedAnomalies(shapes=("box",), sides=(0.1, 0.2), softness=0.1)
    shape = small.over(grainy(256), generator=generator()).shape
    touched = (shape > 0).flatten(1).sum(1)
    # Sides of 6 pixels, softened by at most 3.2: with its tails the Gaussian would reach everywhere.
    assert int(touched.max()) <= (6 + 2 * 4 * 3.2) ** 2 / 2
    assert float(shape[shape > 0].min()) >= anomalies.LEAST


@pytest.mark.parametrize("kinds", [("texture",), ("bias",), ("texture", "bias")])
def test_weak_anomalies_are_met_in_training(kinds: tuple[anomalies.Kind, ...]) -> None:
    batch = grainy(512)

    def strengths(weak: float) -> Tensor:
        return GradedAnomalies(kinds=kinds, weak=weak).over(batch, generator=generator()).strength

    seldom, often = ((strengths(weak) < 0.05).float().mean() for weak in (0.0, 0.5))
    # A uniform amount is below 0.05 in one of twenty, its product with a cube of another in about half of all.
    assert float(often) > float(seldom) + 0.15
    assert float((strengths(1.0) < 0.05).float().mean()) > 0.3
    assert float(strengths(0.5).max()) > 0.5


def test_pieces_come_from_another_scan_of_the_same_modality() -> None:
    """Each scan and modality has its own grey value, which shows where a patch came from."""
    grey = torch.tensor([0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8]).reshape(8, 1, 1, 1)
    roi = torch.ones(8, 1, 32, 32, dtype=torch.bool)
    batch = make_batch((grey * roi).float(), roi)
    modality = (("T1",),) * 4 + (("CXR",),) * 4
    batch = replace(batch, scan_ids=tuple("aabbccdd"), modality=modality)
    partner = torch.tensor([0.4, 0.4, 0.2, 0.2, 0.8, 0.8, 0.6, 0.6])
    drawn = GradedAnomalies(kinds=("patch",), softness=0.0)
    for seed in range(5):
        found = drawn.over(batch, generator=generator(seed))
        came = largest(found.images - grey) / found.blended.clamp(min=1e-6)
        hit = found.blended > 0.05
        assert hit.any()
        assert torch.allclose(came[hit], (partner - grey.flatten()).abs()[hit], atol=1e-4)


def test_one_seed_one_anomaly_and_half_precision_changes_nothing() -> None:
    batch = grainy(8)
    first = GradedAnomalies().over(batch, generator=generator(3))
    with torch.autocast("cpu", torch.bfloat16):
        second = GradedAnomalies().over(batch, generator=generator(3))
    other = GradedAnomalies().over(batch, generator=generator(4))
    assert torch.equal(first.images, second.images) and torch.equal(first.strength, second.strength)
    assert not torch.equal(first.images, other.images)
    alone = GradedAnomalies().over(grainy(1), generator=generator())
    assert alone.images.isfinite().all()


class Recording(nn.Module):
    """Gives back what it gets, and keeps it."""

    def forward(self, images: Tensor, strengths: Tensor) -> Tensor:
        self.seen, self.told = images, strengths
        return images


def test_the_network_is_shown_the_anomaly_and_told_its_strength_and_the_target_is_clean() -> None:
    method, batch = tiny("disyre"), grainy(16)
    assert isinstance(method, Disyre)
    network = Recording()
    context = StepContext(generator=generator(), progress=0.0, step=0)
    loss = float(method.stages()[0].phases[0].loss(network, batch, context)["loss"])
    expected = method.anomalies.over(batch, generator=generator())
    assert torch.equal(network.seen, expected.images) and torch.equal(network.told, expected.strength)
    clean = batch.images * batch.roi
    wrong = (expected.images - clean).square().sum() / batch.roi.sum()
    assert loss == pytest.approx(float(wrong), rel=1e-4) and loss > 1e-4


def test_a_network_that_tells_the_change_changes_the_less_the_weaker_the_strength() -> None:
    torch.manual_seed(0)
    method = tiny("disyre", target="change")
    network = method.build().eval()
    batch = grainy(4)
    seen = {}
    with torch.no_grad():
        for strength in (0.01, 0.05, 0.1, 0.8):
            told = torch.full((4,), strength)
            seen[strength] = float((network(batch.images, told) - batch.images).abs().mean())
    # Weaker ones than the faintest are told in its units.
    assert 0 < seen[0.01] < 2 * seen[0.05] and 1.2 * seen[0.05] < seen[0.1] < seen[0.8] / 4


def test_faint_anomalies_count_as_much_where_the_change_is_told() -> None:
    class Nothing(nn.Module):
        """Leaves every image as it is."""

        def forward(self, images: Tensor, strengths: Tensor) -> Tensor:
            return images

    batch = grainy(256)
    losses = {}
    for target in ("image", "change"):
        for weak in (0.0, 1.0):
            method = tiny("disyre", target=target, weak=weak, kinds=("bias",))
            context = StepContext(step=0, progress=0.0, generator=generator(), shared={})
            losses[target, weak] = float(method._loss(Nothing(), batch, context)["loss"])  # type: ignore[attr-defined]
    assert losses["image", 1.0] < 0.5 * losses["image", 0.0]
    assert losses["change", 1.0] > 0.5 * losses["change", 0.0]


def test_the_chain_walks_down_the_blend_that_it_was_given() -> None:
    """With a network that knows the clean image, what is left after each step is the blend of the next strength."""
    clean, foreign = (
        torch.rand(2, 1, 8, 8, generator=generator(1)),
        torch.rand(2, 1, 8, 8, generator=generator(2)),
    )
    strengths = (0.8, 0.5, 0.1)
    seen: list[Tensor] = []

    def knows(images: Tensor, told: Tensor) -> Tensor:
        assert told.tolist() == pytest.approx([strengths[len(seen)]] * 2)
        seen.append(images)
        return clean

    images = clean + 0.8 * (foreign - clean)
    healthy, distance = chain(knows, images, strengths)
    for strength, left in zip(strengths, seen, strict=True):
        torch.testing.assert_close(left, clean + strength * (foreign - clean))
    assert torch.equal(healthy, clean)
    torch.testing.assert_close(distance, (0.8 + 0.5 + 0.1) / 3 * (foreign - clean).abs())


def test_the_ensemble_shows_the_scan_as_it_is_every_time() -> None:
    images = torch.full((1, 1, 2, 2), 0.5)

    def darkens(shown: Tensor, told: Tensor) -> Tensor:
        assert torch.equal(shown, images)
        return shown - told.reshape(-1, 1, 1, 1)

    healthy, distance = ensemble(darkens, images, (0.3, 0.1))
    assert torch.allclose(healthy, torch.tensor(0.2)) and torch.allclose(distance, torch.tensor(0.2))


def test_strengths_and_the_way_of_restoring_are_settings() -> None:
    batch = blob_batch(3)
    network = built(tiny("disyre"))
    assert isinstance(network, DisyreNetwork)
    found = [
        tiny("disyre", **settings).explain(network, batch).maps["restoration"]
        for settings in ({}, {"steps": 2}, {"strengths": (0.5,)}, {"restoration": "chain"})
    ]
    for first in range(4):
        for second in range(first):
            assert not torch.allclose(found[first], found[second], atol=1e-4)


@pytest.mark.slow
def test_restoring_beats_doing_nothing_on_anomalies_never_seen() -> None:
    # The plain loop has no schedule, so the learning rate is lower than that of the preset.
    method = tiny("disyre", learning_rate=1e-3)
    assert isinstance(method, Disyre)
    network = built(method)
    train(method, network, blob_batch(256), steps=100, per_step=16)
    batch = blob_batch(64, seed=7)
    clean = batch.images * batch.roi
    shown = method.anomalies.over(batch, generator=generator(99))
    with torch.no_grad():
        restored = network.eval()(shown.images, shown.strength) * batch.roi
    errors = [float((images - clean).square().mean()) for images in (restored, shown.images)]
    assert errors[0] < 0.5 * errors[1]
    # Not told the strength at detection, it still finds the anomaly: the map is higher where there is one.
    told = method.explain(network, replace(batch, images=shown.images)).maps["restoration"]
    strong = shown.strength > 0.4
    where = shown.shape[:, 0] > 0.5
    ground = batch.roi[:, 0] & (shown.shape[:, 0] == 0)
    assert float(told[strong][where[strong]].mean()) > 2 * float(told[strong][ground[strong]].mean())


def test_paper_preset_and_its_optimiser() -> None:
    method = Disyre(Disyre.config_for("paper"), InputSpec(size=128))
    (stage,) = method.stages()
    optimizer = stage.phases[0].optimizer([nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["lr"] == 1e-4 and optimizer.defaults["betas"] == (0.95, 0.999)
    assert optimizer.defaults["weight_decay"] == 1e-6 and stage.phases[0].clip_norm == 1.0
    assert Disyre.presets["paper"]["batch"] == 96
    # Sides of 10 to 44 of 128 pixels.
    assert [128 * share for share in method.anomalies.sides] == [10, 44]
    unet = DiffusionUNet(1, width=32, factors=(1, 2, 3, 4, 8, 8), blocks=2, attention=(4,))
    assert describe("disyre")["presets"]["paper"]["parameters"] == count_parameters(unet)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sides": (0.4, 0.1)}, "from the smaller"),
        ({"blob_sides": (0.0, 0.5)}, "from the smaller"),
        ({"strengths": (0.0,)}, "above 0"),
        ({"kinds": ()}, "at least 1"),
        ({"kinds": ("x",)}, "texture"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Disyre.config_for("cpu", wrong)


def test_sizes_that_do_not_halve_are_refused() -> None:
    with pytest.raises(BadInput, match="multiple of 4"):
        tiny("disyre", size=34).build()
