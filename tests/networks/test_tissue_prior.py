"""Tissues without labels: the mixture, position and neighbours, orders of brightness, the template."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor

from unlesion.networks.tissue_prior import BINS, CEILING, TissuePrior, fit_mixture, histogram, tissue_order
from unlesion.networks.tissue_templates import template_prior, template_slice, template_tissues


def rings(number: int = 4, side: int = 48, *, dims: int = 2) -> tuple[Tensor, Tensor]:
    """Fluid in the middle, then white, then grey: labels (N, ...) and roi (N, 1, ...)."""
    axis = torch.linspace(-1, 1, side)
    radius = torch.stack(torch.meshgrid(*[axis] * dims, indexing="ij")).square().sum(0).sqrt()
    labels = torch.where(radius < 0.25, 0, torch.where(radius < 0.65, 2, 1)).expand(number, *[side] * dims)
    return labels, (radius < 0.9).expand(number, 1, *[side] * dims)


def drawn(labels: Tensor, greys: tuple[float, ...], *, noise: float, seed: int = 0) -> Tensor:
    values = torch.tensor(greys)[labels][:, None]
    return values + noise * torch.randn(values.shape, generator=torch.Generator().manual_seed(seed))


def share_right(classes: Tensor, labels: Tensor, roi: Tensor, *, subclasses: int) -> float:
    tissues = torch.stack([part.sum(1) for part in classes.split(subclasses, dim=1)], dim=1)
    return float((tissues.argmax(1) == labels)[roi[:, 0]].float().mean())


def test_the_mixture_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [rng.normal(0.2, 0.05, 3000), rng.normal(0.55, 0.06, 5000), rng.normal(0.8, 0.04, 4000)]
    )
    counts, _ = np.histogram(values, bins=BINS, range=(0, CEILING))
    found = fit_mixture(torch.from_numpy(counts).float()[None], components=3, iterations=100)
    theirs = GaussianMixture(3, random_state=0, means_init=[[0.2], [0.5], [0.8]]).fit(values[:, None])
    assert found.mean[0].numpy() == pytest.approx(theirs.means_[:, 0], abs=0.004)
    assert found.share[0].numpy() == pytest.approx(theirs.weights_, abs=0.01)
    # Bins of 0.015 add a little spread.
    assert found.deviation[0].numpy() == pytest.approx(np.sqrt(theirs.covariances_[:, 0, 0]), abs=0.004)


def test_an_empty_histogram_makes_no_nan() -> None:
    found = fit_mixture(torch.zeros(2, BINS), components=3)
    for part in (found.share, found.mean, found.deviation):
        assert part.isfinite().all()
    assert (found.share > 0).all()


def test_only_the_roi_is_counted() -> None:
    images = torch.full((1, 1, 4, 4), 0.5)
    roi = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    roi[..., :2, :] = True
    counts = histogram(images, roi)
    assert counts.sum() == 8 and counts[0, int(0.5 / CEILING * BINS)] == 8


@pytest.mark.parametrize(
    ("order", "greys"),
    [((0, 1, 2), (0.2, 0.5, 0.7)), ((2, 1, 0), (0.9, 0.6, 0.4)), ((0, 2, 1), (0.2, 0.7, 0.5))],
)
@pytest.mark.parametrize("dims", [2, 3])
def test_tissues_are_found_in_every_known_order(
    order: tuple[int, ...], greys: tuple[float, ...], dims: int
) -> None:
    labels, roi = rings(side=48 if dims == 2 else 24, dims=dims, number=3)
    prior = TissuePrior(3, subclasses=2, dims=dims)
    images = drawn(labels, greys, noise=0.05)
    found = prior(images, roi, torch.full((3,), 0.5), [order] * 3)
    assert found.shape == (3, 6, *labels.shape[1:])
    torch.testing.assert_close(found.sum(1), torch.ones_like(found[:, 0]))
    assert share_right(found, labels, roi, subclasses=2) > 0.95


def test_images_of_a_batch_may_differ_in_order_and_contrast() -> None:
    labels, roi = rings(2)
    images = torch.cat(
        [drawn(labels[:1], (0.2, 0.5, 0.7), noise=0.04), drawn(labels[:1], (0.8, 0.55, 0.4), noise=0.04)]
    )
    found = TissuePrior(3, subclasses=1, pull=0.05)(
        images, roi, torch.full((2,), 0.5), [(0, 1, 2), (2, 1, 0)]
    )
    assert share_right(found, labels, roi, subclasses=1) > 0.95
    # Without a known order, classes are numbered from dark to bright.
    ranked = TissuePrior(3, subclasses=1, pull=0.05)(images, roi, torch.full((2,), 0.5), [None, None])
    assert share_right(ranked[1:], 2 - labels[1:], roi[1:], subclasses=1) > 0.95


def test_parts_of_a_tissue_run_the_same_way_in_opposite_contrasts() -> None:
    """A mixture of grey and white matter is bright grey matter on T1 and dark grey matter on T2: the same part."""
    labels, roi = rings(1)
    prior = TissuePrior(3, subclasses=3)
    bright = drawn(labels, (0.2, 0.5, 0.8), noise=0.05)
    one = prior(bright, roi, torch.tensor([0.5]), [(0, 1, 2)])
    other = prior(1.0 - bright, roi, torch.tensor([0.5]), [(2, 1, 0)])
    agree = (one.argmax(1) == other.argmax(1))[roi[:, 0]].float().mean()
    assert float(agree) > 0.97
    assert len(one.argmax(1)[roi[:, 0]].unique()) == 9


def test_neighbours_outvote_noise() -> None:
    labels, roi = rings()
    images = drawn(labels, (0.2, 0.5, 0.7), noise=0.1)
    alone, together = (
        share_right(
            TissuePrior(3, subclasses=1, neighbours=weight)(images, roi, torch.full((4,), 0.5), [None] * 4),
            labels,
            roi,
            subclasses=1,
        )
        for weight in (0.0, 2.0)
    )
    assert together > alone + 0.02


def test_position_is_learnt_in_training_only_and_tells_tissues_of_one_grey_apart() -> None:
    labels, roi = rings(8)
    position = torch.full((8,), 0.3)
    prior = TissuePrior(3, subclasses=1, neighbours=0.0).eval()
    clear, poor = (
        drawn(labels, (0.2, 0.5, 0.7), noise=0.04),
        drawn(labels, (0.2, 0.5, 0.6), noise=0.09, seed=1),
    )
    before = share_right(prior(poor, roi, position, [None] * 8), labels, roi, subclasses=1)
    assert prior.batches == 0
    prior.train()
    for _ in range(3):
        prior(clear, roi, position, [None] * 8)
    assert prior.batches == 3
    prior.eval()
    after = share_right(prior(poor, roi, position, [None] * 8), labels, roi, subclasses=1)
    assert after > before + 0.05


def test_an_empty_roi_makes_no_nan() -> None:
    prior = TissuePrior(3, subclasses=2)
    empty = torch.zeros(2, 1, 16, 16)
    found = prior(empty, empty.bool(), torch.full((2,), 0.5), [None, None])
    assert found.isfinite().all()


def test_orders_by_the_name_of_a_channel() -> None:
    assert tissue_order(("FLAIR", "t1"), 3) == (0, (0, 2, 1))
    assert tissue_order(("PD", "T2"), 3) == (1, (2, 1, 0))
    assert {tissue_order((name,), 3) for name in ("T2-FLAIR", "t2 flair", "T2F")} == {(0, (0, 2, 1))}
    assert tissue_order(("CXR",), 3) == (0, None)
    assert tissue_order(("T1",), 4) == (0, None)


def test_the_template_knows_where_tissues_are() -> None:
    tissues, brain = template_tissues()
    assert brain.shape == tissues.shape[1:] and brain.any((1, 2)).all()
    torch.testing.assert_close(tissues.sum(0), torch.ones(tissues.shape[1:]), rtol=0, atol=1e-3)
    upper = int(0.7 * tissues.shape[1])
    # Above the deep nuclei white matter lies deeper than grey matter: mean distance from the middle of the slice.
    rows, columns = torch.meshgrid(
        torch.linspace(-1, 1, tissues.shape[2]), torch.linspace(-1, 1, tissues.shape[3]), indexing="ij"
    )
    far = (rows.square() + columns.square()).sqrt()
    inside = far < 0.9
    mean = [float((far * one * inside).sum() / (one * inside).sum()) for one in tissues[:, upper]]
    assert mean[2] < mean[1]
    # Left and right are alike.
    assert float((tissues - tissues.flip(3)).abs().mean()) < 0.1


@pytest.mark.parametrize("height", [0.0, 0.1, 0.3, 0.5, 0.8, 0.95, 1.0])
def test_a_slice_of_the_template_fills_its_box(height: float) -> None:
    """Near the top it used to be laid into the roi at half its size."""
    tissues = template_slice(height)
    known = (tissues - 1 / 3).abs().amax(0) > 1e-3
    for edge in (known[0], known[-1], known[:, 0], known[:, -1]):
        assert edge.any()


def test_contrasts_of_other_orders_do_not_pull_at_each_other() -> None:
    labels, roi = rings(8)
    position = torch.full((8,), 0.5)
    t1 = drawn(labels, (0.2, 0.5, 0.8), noise=0.03)
    t2 = drawn(labels, (1.2, 0.7, 0.4), noise=0.03, seed=1)
    orders: list[tuple[int, ...]] = [(0, 1, 2)] * 8 + [(2, 1, 0)] * 8
    prior = TissuePrior(3, subclasses=1).eval()
    alone = prior(t1, roi, position, orders[:8])
    mixed = prior(torch.cat([t1, t2]), roi.repeat(2, 1, 1, 1), position.repeat(2), orders)
    torch.testing.assert_close(mixed[:8], alone)
    assert share_right(mixed[8:], labels, roi, subclasses=1) > 0.95


def test_the_template_is_laid_into_the_roi() -> None:
    roi = torch.zeros(2, 1, 40, 40, dtype=torch.bool)
    roi[0, :, 5:35, 8:30] = True
    prior = template_prior(roi, torch.tensor([0.5, 0.5]))
    assert prior.shape == (2, 3, 40, 40) and prior.min() >= 0.05
    # Nothing is known where there is no brain.
    assert float((prior[1] - prior[1].mean()).abs().max()) < 1e-6
    assert float(prior[0, :, 5:35, 8:30].std(0).mean()) > 0.1
    volume = torch.zeros(1, 1, 16, 16, 16, dtype=torch.bool)
    volume[..., 2:14, 2:14, 3:13] = True
    laid = template_prior(volume, torch.tensor([0.5]))
    assert laid.shape == (1, 3, 16, 16, 16)
    # The bottom of the box is the cerebellum and stem, its middle holds the ventricles.
    assert float(laid[0, 0, 8, 6:10, 7:9].mean()) > 0.1
