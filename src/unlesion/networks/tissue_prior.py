"""Soft tissues of a healthy image without any label: a mixture of normal grey values, with position and neighbours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unlesion.networks.position_bins import bin_weights

BINS = 100
CEILING = 1.5
# Smallest standard deviation of a tissue, in grey values.
FLOOR = 0.02
# Points along a side of the learnt map of where tissues are.
GRID = 16

# Tissues (0 fluid, 1 grey matter, 2 white matter) from dark to bright, by modality.
T1, T2, FLAIR = (0, 1, 2), (2, 1, 0), (0, 2, 1)
ORDERS = {"T1": T1, "T1W": T1, "T2": T2, "T2W": T2, "FLAIR": FLAIR, "T2FLAIR": FLAIR, "T2F": FLAIR}


@dataclass(frozen=True)
class Mixture:
    """Normal distributions of grey values, darkest first; all (B, T).

    Attributes:
        share: of the pixels, sums to 1.
        mean: in grey values.
        deviation: standard deviations.
    """

    share: Tensor
    mean: Tensor
    deviation: Tensor

    def log_density(self, values: Tensor) -> Tensor:
        """(B, 1, ...) to (B, T, ...): log of each tissue's density, without its share."""
        shape = (*self.mean.shape, *[1] * (values.ndim - 2))
        mean, deviation = self.mean.reshape(shape), self.deviation.reshape(shape)
        return -0.5 * ((values - mean) / deviation).square() - deviation.log()


def fit_mixture(counts: Tensor, *, components: int, iterations: int = 40) -> Mixture:
    """Expectation maximisation on histograms of `BINS` bins from 0 to `CEILING`.

    It starts twice, from means at evenly spaced quantiles and from evenly spaced means, which find small tissues; the
    likelier end counts.

    Args:
        counts: (B, BINS).
        components: T.
        iterations: of EM.

    Returns:
        Means in rising order. Of an empty histogram, evenly spaced ones.

    Source: Dempster, Laird, Rubin, Maximum likelihood from incomplete data via the EM algorithm, 1977.
    """
    counts = counts.float()
    shares = (torch.arange(components, device=counts.device) + 0.5) / components
    low, high = _quantiles(counts, torch.tensor([0.01, 0.99], device=counts.device)).split(1, dim=1)
    starts = [_quantiles(counts, shares), low + shares * (high - low)]
    twice = torch.cat([counts, counts])
    found, likely = _maximised(twice, torch.cat(starts), iterations)
    better = (likely[: len(counts)] >= likely[len(counts) :])[:, None]
    share, mean, deviation = (
        torch.where(better, part[: len(counts)], part[len(counts) :])
        for part in (found.share, found.mean, found.deviation)
    )
    order = mean.argsort(1)
    return Mixture(share.gather(1, order), mean.gather(1, order), deviation.gather(1, order))


def _maximised(counts: Tensor, mean: Tensor, iterations: int) -> tuple[Mixture, Tensor]:
    """The mixture from means (B, T) to begin with, and its log likelihood (B,)."""
    width, components = CEILING / BINS, mean.shape[1]
    values = ((torch.arange(BINS, device=counts.device) + 0.5) * width)[None, None]
    total = counts.sum(1, keepdim=True)
    spread = torch.full_like(mean, 0.3 / components)
    share = torch.full_like(mean, 1.0 / components)
    likely = torch.zeros(len(counts), device=counts.device)
    for _ in range(iterations):
        logs = Mixture(share, mean, spread).log_density(values.expand(len(counts), 1, BINS))
        logs = logs + share.clamp(min=1e-6).log()[..., None]
        likely = (counts * logs.logsumexp(1)).sum(1)
        weight = logs.softmax(1) * counts[:, None]
        mass = weight.sum(2)
        some = mass > 1e-3
        mean = torch.where(some, (weight * values).sum(2) / mass.clamp(min=1e-3), mean)
        square = (weight * (values - mean[..., None]).square()).sum(2) / mass.clamp(min=1e-3)
        spread = torch.where(some, square.sqrt().clamp(min=FLOOR), spread)
        share = torch.where(total > 0, mass / total.clamp(min=1.0), share)
    return Mixture(share, mean, spread), likely


def _quantiles(counts: Tensor, shares: Tensor) -> Tensor:
    """(B, n) grey values below which these shares of histograms lie."""
    reached = counts.cumsum(1)[:, None] < (shares[None] * counts.sum(1, keepdim=True))[..., None]
    return (reached.sum(2) + 0.5) * CEILING / BINS


def histogram(images: Tensor, roi: Tensor) -> Tensor:
    """(B, BINS) how many pixels of the roi have which grey value; images and roi (B, 1, ...)."""
    places = (images.flatten(1) / CEILING * BINS).long().clamp(0, BINS - 1)
    counts = torch.zeros(len(images), BINS, device=images.device)
    return counts.scatter_add_(1, places, roi.flatten(1).float())


def tissue_order(names: Sequence[str], tissues: int) -> tuple[int, tuple[int, ...] | None]:
    """Which channel of an image has a known order of three tissues, and that order, dark to bright.

    Args:
        names: modality of each channel; "T2-FLAIR", "t2 flair" and "T2FLAIR" are one.
        tissues: T.

    Returns:
        The first such channel; else channel 0 and None: tissues are then numbered by brightness.
    """
    if tissues == 3:
        for channel, name in enumerate(names):
            known = ORDERS.get(re.sub(r"[^A-Z0-9]", "", name.upper()))
            if known is not None:
                return channel, known
    return 0, None


class TissuePrior(nn.Module):
    """EM over grey values, position and neighbours, and a map of where tissues are that it learns on the way.

    A mixture is fitted to the histogram of those images of the batch whose tissues have the same order. Each image then has one of its own, to which the batch's counts
    like `pull` of its pixels; a pixel's tissue is judged by its grey value, by where it lies (the learnt map, or the
    given one), and by its neighbours (mean-field form of a Markov random field).

    Args:
        tissues: T.
        subclasses: parts of every tissue, from its dark end to its bright one.
        bins: slice heights that the map tells apart.
        dims: 2 or 3.
        iterations: of EM on the image's own pixels.
        pull: see above.
        neighbours: weight of the mean of the neighbours.
        decay: what remains of a batch's weight in the map after the next one; grows to this from 0.1.
    """

    sums: Tensor
    weight: Tensor
    batches: Tensor

    def __init__(
        self,
        tissues: int,
        *,
        subclasses: int,
        bins: int = 8,
        dims: int = 2,
        iterations: int = 6,
        pull: float = 0.3,
        neighbours: float = 1.0,
        decay: float = 0.99,
    ) -> None:
        super().__init__()
        self.tissues = tissues
        self.subclasses = subclasses
        self.iterations = iterations
        self.pull = pull
        self.neighbours = neighbours
        self.decay = decay
        self.register_buffer("sums", torch.zeros(bins, tissues, *[GRID] * dims))
        self.register_buffer("weight", torch.zeros(bins, 1, *[GRID] * dims))
        self.register_buffer("batches", torch.zeros(()))

    @torch.no_grad()
    def forward(
        self,
        images: Tensor,
        roi: Tensor,
        position: Tensor,
        orders: Sequence[Sequence[int] | None],
        *,
        place: Tensor | None = None,
    ) -> Tensor:
        """Soft classes of healthy images; in training mode the map learns from them.

        Args:
            images: (B, 1, ...).
            roi: (B, 1, ...) bool.
            position: (B,) height, 0 to 1.
            orders: of each image the tissues from dark to bright; None: they are numbered by brightness.
            place: (B, T, ...) where tissues are, instead of the learnt map.

        Returns:
            (B, T · subclasses, ...) probabilities, tissue by tissue, that sum to 1 everywhere (they mean nothing
            outside the roi).
        """
        with torch.autocast(images.device.type, enabled=False):
            ranks = torch.tensor([order or tuple(range(self.tissues)) for order in orders])
            ranks = ranks.to(images.device)
            images = images.float()
            # By brightness: tissue number ranks[b, r] is the r-th darkest of image b.
            where = self._map(position, tuple(images.shape[2:])) if place is None else place
            where = _picked(where, ranks)
            found, mixture = self._em(images, roi, where, [tuple(order or ()) for order in orders])
            parts = self._parts(images, found, mixture)
            back = ranks.argsort(1)
            if self.training:
                self._learn(_picked(found, back), roi, position)
            return self._in_order(parts, ranks, back)

    def _em(
        self, images: Tensor, roi: Tensor, where: Tensor, orders: Sequence[tuple[int, ...]]
    ) -> tuple[Tensor, Mixture]:
        """Soft tissues by brightness, and the mixture of each image."""
        # The darkest of one contrast is not that of another: each order has a mixture of its own.
        kinds = list(dict.fromkeys(orders))
        kind = torch.tensor([kinds.index(order) for order in orders], device=images.device)
        counts = histogram(images, roi)
        pooled = counts.new_zeros(len(kinds), BINS).index_add_(0, kind, counts)
        of_kinds = fit_mixture(pooled, components=self.tissues)
        common = Mixture(of_kinds.share[kind], of_kinds.mean[kind], of_kinds.deviation[kind])
        inside = roi.float()
        total = inside.flatten(1).sum(1, keepdim=True)
        prior = self.pull * total * common.share
        # How common a tissue is in an image, the map of places tells better than a share.
        share, mean, spread = common.share, common.mean, common.deviation
        found = where
        near = torch.zeros_like(where)
        axes = tuple(range(2, images.ndim))
        for turn in range(self.iterations):
            mixture = Mixture(share, mean, spread)
            logs = mixture.log_density(images) + where.log() + near
            found = logs.softmax(1)
            around = _block_sums(found * inside)
            near = self.neighbours * around / around.sum(1, keepdim=True).clamp(min=1e-6)
            if turn + 1 == self.iterations:
                break
            weight = found * inside
            mass = weight.sum(axes) + prior
            safe = mass.clamp(min=1e-3)
            mean = ((weight * images).sum(axes) + prior * common.mean) / safe
            far = (images - mean.reshape(*mean.shape, *[1] * len(axes))).square()
            off = common.deviation.square() + (mean - common.mean).square()
            spread = _bounded((((weight * far).sum(axes) + prior * off) / safe).sqrt(), mean)
        return found, Mixture(share, mean, spread)

    def _parts(self, images: Tensor, found: Tensor, mixture: Mixture) -> Tensor:
        """(B, T, subclasses, ...) tissues by brightness, split evenly within a standard deviation of their means."""
        shape = (*mixture.mean.shape, *[1] * (images.ndim - 2))
        score = (images - mixture.mean.reshape(shape)) / mixture.deviation.reshape(shape)
        # Within one standard deviation is the tissue itself; the ends are mixtures with its neighbours.
        limits = torch.linspace(-1.0, 1.0, self.subclasses - 1) if self.subclasses > 2 else torch.zeros(1)
        limits = limits[: self.subclasses - 1]
        above = sum(((score > limit).to(score.dtype) for limit in limits.tolist()), torch.zeros_like(score))
        return torch.stack([found * (above == part) for part in range(self.subclasses)], dim=2)

    def _in_order(self, parts: Tensor, ranks: Tensor, back: Tensor) -> Tensor:
        """Tissues by their numbers; where the first tissue is the brightest, its parts begin at the bright end."""
        falling = back[:, 0] > back[:, -1]
        if falling.any():
            chosen = falling.reshape(-1, *[1] * (parts.ndim - 1))
            parts = torch.where(chosen, parts.flip(2), parts)
        if (ranks == torch.arange(self.tissues, device=ranks.device)).all():
            return parts.flatten(1, 2)
        index = back.reshape(*back.shape, *[1] * (parts.ndim - 2)).expand_as(parts)
        return parts.gather(1, index).flatten(1, 2)

    def _map(self, position: Tensor, sides: tuple[int, ...]) -> Tensor:
        """(B, T, ...) how likely tissues are at every place; even where little was seen."""
        weights = bin_weights(position, len(self.sums))
        sums = torch.einsum("bk,k...->b...", weights, self.sums)
        weight = torch.einsum("bk,k...->b...", weights, self.weight)
        # One pixel's worth of an even map, so that nothing is ever ruled out.
        likely = (sums + 1.0 / self.tissues) / (weight + 1.0)
        mode = "bilinear" if len(sides) == 2 else "trilinear"
        grown = nn.functional.interpolate(likely, size=sides, mode=mode, align_corners=False)
        return 0.05 + 0.95 * grown

    def _learn(self, found: Tensor, roi: Tensor, position: Tensor) -> None:
        dims = roi.ndim - 2
        pool = nn.functional.adaptive_avg_pool2d if dims == 2 else nn.functional.adaptive_avg_pool3d
        inside = roi.float()
        grid = [GRID] * dims
        pixels = 1.0
        for side in roi.shape[2:]:
            pixels *= max(side / GRID, 1.0)
        tissue = pool(found * inside, grid) * pixels  # type: ignore[arg-type]
        weight = pool(inside, grid) * pixels  # type: ignore[arg-type]
        weights = bin_weights(position, len(self.sums))
        kept = ((1.0 + self.batches) / (10.0 + self.batches)).clamp(max=self.decay)
        self.sums.mul_(kept).add_(torch.einsum("bk,b...->k...", weights, tissue))
        self.weight.mul_(kept).add_(torch.einsum("bk,b...->k...", weights, weight))
        self.batches.add_(1.0)


def _bounded(spread: Tensor, mean: Tensor) -> Tensor:
    """Standard deviations of at most two fifths of the way to the next mean, so that no tissue swallows another."""
    gaps = mean.diff(dim=1).abs()
    nearest = torch.minimum(
        nn.functional.pad(gaps, (1, 0), value=9.0), nn.functional.pad(gaps, (0, 1), value=9.0)
    )
    return torch.minimum(spread, 0.4 * nearest).clamp(min=FLOOR)


def _picked(values: Tensor, index: Tensor) -> Tensor:
    """Planes of (B, T, ...) in the order of each row of (B, T)."""
    return values.gather(1, index.reshape(*index.shape, *[1] * (values.ndim - 2)).expand_as(values))


def _block_sums(values: Tensor) -> Tensor:
    """Sums over 3 pixels along every spatial axis; 0 beyond the border. Faster than pooling."""
    for axis in range(2, values.ndim):
        length = values.shape[axis]
        summed = values.clone()
        summed.narrow(axis, 1, length - 1).add_(values.narrow(axis, 0, length - 1))
        summed.narrow(axis, 0, length - 1).add_(values.narrow(axis, 1, length - 1))
        values = summed
    return values
