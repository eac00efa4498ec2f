"""Recoupling, imaging codes, contrast maps, warps, regrading and losses that `dal` is made of."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from unlesion.networks.contrast_maps import random_contrast
from unlesion.networks.film import FilmRecoupler
from unlesion.networks.hinge import hinge_critic_loss, hinge_deception_loss
from unlesion.networks.imaging_code import ImagingEncoder, kl_to_standard, sampled
from unlesion.networks.instance_unet import InstanceUNet
from unlesion.networks.overlap import cross_entropy, disagreement, grouped, jensen_shannon, soft_dice_loss
from unlesion.networks.regrade import regraded, smooth_basis
from unlesion.networks.similarity_loss import similarity_loss
from unlesion.networks.ssim import ssim_map
from unlesion.networks.warp import random_warp


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def whole(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.bool)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_unet_does_not_see_how_strong_the_contrast_is(dims: int) -> None:
    torch.manual_seed(0)
    network = InstanceUNet(1, 4, widths=(4, 8), dims=dims).eval()
    images = torch.rand(2, 1, *[16] * dims, generator=generator())
    with torch.no_grad():
        found = network(images)
        again = network(3.0 * images)
    assert found.shape == (2, 4, *[16] * dims)
    torch.testing.assert_close(found, again, rtol=1e-2, atol=1e-2)


def test_the_image_depends_on_anatomy_and_code() -> None:
    torch.manual_seed(0)
    draw = FilmRecoupler(3, width=8, blocks=2, code=4, ceiling=1.5)
    anatomy = torch.nn.functional.one_hot(torch.randint(3, (2, 16, 16)), 3).movedim(-1, 1).float()
    code = torch.randn(2, 4)
    drawn = draw(anatomy, code).detach()
    assert drawn.shape == (2, 1, 16, 16) and drawn.dtype == torch.float32
    assert float(drawn.min()) > 0.0 and float(drawn.max()) < 1.5
    assert not torch.allclose(drawn, draw(anatomy, code + 1.0))
    # Nothing of a place depends on anatomy further away than the convolutions reach: 1 + 2 x 2 + 1.
    changed = anatomy.clone()
    changed[:, :, :, 0] = changed[:, :, :, 0].roll(1, 1)
    torch.testing.assert_close(draw(changed, code)[..., 7:], drawn[..., 7:])


@pytest.mark.parametrize(("by", "least"), [(16, 1e-4), (8, 0.1), (5, 0.1)])
def test_codes_hardly_know_where_anything_is(by: int, least: float) -> None:
    torch.manual_seed(0)
    encode = ImagingEncoder(1, width=8, code=4).eval()
    images = torch.zeros(1, 1, 64, 64)
    images[..., 16:32, 16:32] = 1.0
    anatomy, roi = (images > 0).float(), whole(1, 1, 64, 64)
    with torch.no_grad():
        first, _ = encode(anatomy, images, roi)
        second, _ = encode(anatomy.roll((by, by), (2, 3)), images.roll((by, by), (2, 3)), roi)
        brighter, _ = encode(anatomy, 1.2 * images, roi)
    # Only multiples of the whole stride, 16, look the same to strided convolutions.
    told = float((brighter - first).abs().max())
    assert told > 0.01
    assert float((second - first).abs().max()) < least * told


def test_codes_are_means_over_the_roi_alone() -> None:
    torch.manual_seed(0)
    encode = ImagingEncoder(2, width=8, code=3).eval()
    images = torch.rand(1, 1, 64, 64, generator=generator())
    anatomy = torch.cat([images > 0.5, images <= 0.5], dim=1).float()
    roi = whole(1, 1, 64, 64)
    roi[..., 32:] = False
    changed = images.clone()
    # Beyond the reach of the convolutions from the roi: 31 pixels.
    changed[..., 63:] = 9.0
    with torch.no_grad():
        torch.testing.assert_close(encode(anatomy, images, roi)[0], encode(anatomy, changed, roi)[0])
        empty = encode(anatomy, images, torch.zeros_like(roi))
    assert all(part.isfinite().all() for part in empty)


def test_divergence_and_sampling_of_codes() -> None:
    mean, log_variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, math.log(4.0)]])
    expected = 0.5 * (1.0 + 0.0) + 0.5 * (4.0 + 4.0 - math.log(4.0) - 1.0)
    assert float(kl_to_standard(mean, log_variance)) == pytest.approx(expected)
    assert sampled(mean, log_variance, torch.tensor([[1.0, 0.5]])).tolist() == [[2.0, -1.0]]


def test_similarity_is_that_of_monai_away_from_the_border() -> None:
    first = torch.rand(2, 1, 32, 32, generator=generator())
    second = (first + 0.2 * torch.rand(first.shape, generator=generator(1))).clamp(max=1)
    roi = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    roi[..., 8:24, 8:24] = True
    expected = 1.0 - float(ssim_map(first, second)[roi].mean())
    assert float(similarity_loss(first, second, roi)) == pytest.approx(expected, abs=2e-3)
    assert float(similarity_loss(first, first, roi)) == pytest.approx(0.0, abs=1e-6)


def test_closed_forms_of_the_losses() -> None:
    p = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4)
    q = 1.0 - p
    roi = whole(1, 1, 4, 4)
    assert float(jensen_shannon(p, q, roi)) == pytest.approx(math.log(2.0), rel=1e-5)
    assert float(jensen_shannon(p, p, roi)) == pytest.approx(0.0, abs=1e-6)
    assert (disagreement(p, q) == 1).all() and (disagreement(p, p) == 0).all()
    assert float(soft_dice_loss(p, p, roi)) == 0.0
    assert float(soft_dice_loss(p, q, roi)) == pytest.approx(1.0 - 1.0 / 17.0)
    assert float(cross_entropy(torch.zeros(1, 2, 4, 4), p, roi)) == pytest.approx(math.log(2.0))
    planes = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert grouped(planes, 3).flatten().tolist() == [1.0, 5.0, 9.0]


def test_the_hinge_rests_where_both_are_told_apart() -> None:
    roi = whole(1, 1, 4, 4)
    said = torch.full((1, 1, 4, 4), 1.5)
    assert float(hinge_critic_loss(said, -said, roi)) == 0.0
    assert float(hinge_critic_loss(-said, said, roi)) == pytest.approx(5.0)
    assert float(hinge_deception_loss(said, roi)) == pytest.approx(-1.5)


@pytest.mark.parametrize("dims", [2, 3])
def test_random_contrasts_keep_geometry_median_and_range(dims: int) -> None:
    steps = torch.linspace(0.2, 0.9, 5)
    labels = (
        torch.arange(20).div(4, rounding_mode="floor").reshape(20, *[1] * (dims - 1)).expand(*[20] * dims)
    )
    images = steps[labels].expand(24, 1, *[20] * dims).clone()
    roi = whole(24, 1, *[20] * dims)
    roi[..., :2] = False
    other = random_contrast(images * roi, roi, generator=generator())
    assert (other[~roi] == 0).all() and other.min() >= 0 and other.max() <= 1.5
    assert float((other - images * roi).abs().mean()) > 0.05
    medians = torch.stack([one[inside].median() for one, inside in zip(other, roi, strict=True)])
    assert float((medians - 0.55).abs().median()) < 0.12
    # Some are inverted: the dark end becomes the bright one.
    ends = [
        float(one[0, 16:][inside[0, 16:]].mean() - one[0, :4][inside[0, :4]].mean())
        for one, inside in zip(other, roi, strict=True)
    ]
    assert min(ends) < -0.1 and max(ends) > 0.1
    again = random_contrast(images * roi, roi, generator=generator())
    assert torch.equal(other, again)
    empty = random_contrast(images, torch.zeros_like(roi), generator=generator())
    assert (empty == 0).all()


def test_what_is_outside_is_air_under_every_map() -> None:
    """Of 200 images about 20 have a ghost, which brings into the roi what lies a third of the image beside it."""
    images, roi = (
        torch.rand(200, 1, 18, 18, generator=generator()),
        torch.zeros(200, 1, 18, 18, dtype=torch.bool),
    )
    roi[:, :, 6:12, 6:12] = True
    black, bright = (
        random_contrast(torch.where(roi, images, outside), roi, generator=generator())
        for outside in (0.0, 1.2)
    )
    assert torch.equal(black, bright)


def test_maps_and_warps_are_as_exact_within_autocast() -> None:
    images = torch.rand(4, 1, 32, 32, generator=generator())
    roi = whole(4, 1, 32, 32)
    plain = random_contrast(images, roi, generator=generator()), random_warp(images, generator=generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = random_contrast(images, roi, generator=generator()), random_warp(images, generator=generator())
    for one, other in zip(plain, cast, strict=True):
        assert torch.equal(one, other)


def test_tissues_may_get_any_grey() -> None:
    labels = torch.zeros(60, 16, 16, dtype=torch.long)
    labels[:, 8:] = 1
    tissues = torch.nn.functional.one_hot(labels, 2).movedim(-1, 1).float()
    # The images know no tissues: what differs between the halves was drawn for them.
    flat = torch.full((60, 1, 16, 16), 0.5)
    other = random_contrast(flat, whole(60, 1, 16, 16), generator=generator(), tissues=tissues)
    halves = (other[:, 0, 9:].mean((1, 2)) - other[:, 0, :7].mean((1, 2))).abs()
    assert 0.05 < float((halves > 0.3).float().mean()) < 0.45


def test_warps_move_and_keep_values() -> None:
    labels = torch.randint(0, 4, (3, 2, 24, 24), generator=generator()).float()
    moved = random_warp(labels, generator=generator(1))
    assert moved.shape == labels.shape
    assert set(moved.unique().tolist()) <= set(labels.unique().tolist()) | {0.0}
    assert not torch.equal(moved, labels)
    still = random_warp(labels, linear=0.0, elastic=0.0, generator=generator())
    assert torch.equal(still, labels)
    volume = random_warp(torch.rand(1, 1, 8, 8, 8), generator=generator())
    assert volume.shape == (1, 1, 8, 8, 8)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_waves_are_few_and_smooth(order: int) -> None:
    assert len(smooth_basis((8, 8), order, device=torch.device("cpu"))) == (0, 2, 5)[order]
    assert len(smooth_basis((8, 8, 8), order, device=torch.device("cpu"))) == (0, 3, 9)[order]


@pytest.mark.parametrize("brighter", [0.35, -0.25])
def test_a_lesion_over_a_third_of_a_tissue_has_no_say_in_the_grades(brighter: float) -> None:
    side = 48
    tissues = torch.zeros(1, 2, side, side)
    tissues[:, 0, :24] = 1
    tissues[:, 1, 24:] = 1
    anatomy = 0.4 * tissues[:, :1] + 0.7 * tissues[:, 1:]
    drawn = anatomy + 0.03 * torch.randn(1, 1, side, side, generator=generator())
    lesion = torch.zeros(1, 1, side, side, dtype=torch.bool)
    lesion[..., 2:22, 14:34] = True
    scan = anatomy + brighter * lesion
    fitted = regraded(drawn, scan, tissues, whole(1, 1, side, side), order=2)
    left = ((scan - fitted)[lesion] / brighter).mean()
    assert float(left) > 0.9
    assert float((scan - fitted)[~lesion].abs().mean()) < 0.04


def test_cross_entropy_weighs_pixels() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 0.0]]).reshape(1, 2, 1, 2)
    wanted = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).reshape(1, 2, 1, 2)
    roi, weight = whole(1, 1, 1, 2), torch.tensor([5.0, 1.0]).reshape(1, 1, 1, 2)
    first, second = math.log(1 + math.exp(-2.0)), math.log(2.0)
    assert float(cross_entropy(logits, wanted, roi, weight)) == pytest.approx((5 * first + second) / 6)
    assert float(cross_entropy(logits, wanted, roi)) == pytest.approx((first + second) / 2)


def test_regrading_undoes_what_it_can_express_and_leaves_the_lesion() -> None:
    side = 48
    rows = torch.arange(side)[:, None].expand(side, side)
    labels = (rows >= side // 2).long()
    tissues = torch.nn.functional.one_hot(labels, 2).movedim(-1, 0)[None].float()
    drawn = (0.4 + 0.3 * labels + 0.02 * torch.randn(side, side, generator=generator()))[None, None]
    waves = smooth_basis((side, side), 1, device=torch.device("cpu"))
    truth = drawn * (1.0 + 0.1 * waves[0]) + 0.1 * tissues[:, :1]
    lesion = torch.zeros(1, 1, side, side, dtype=torch.bool)
    lesion[..., 5:15, 20:32] = True
    scan = torch.where(lesion, truth + 0.6, truth)
    roi = whole(1, 1, side, side)
    fitted = regraded(drawn, scan, tissues, roi, order=1, ridge=1e-4)
    assert float((fitted - truth).abs().max()) < 0.05
    assert float((scan - fitted)[lesion].min()) > 0.5
    empty = regraded(drawn, scan, tissues, torch.zeros_like(roi), order=2)
    torch.testing.assert_close(empty, drawn)
