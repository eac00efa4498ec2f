"""Corruption of edge maps: contours that belong to nothing, and edges that are lost or misplaced."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlesion.networks.draws import normal, uniform
from unlesion.networks.edges import anatomy_edges
from unlesion.networks.precision import without_autocast
from unlesion.networks.smoothing import gaussian_blur

# The brightest grey value that recipes leave.
BRIGHTEST = 1.5


@without_autocast
def random_blobs(
    roi: Tensor,
    *,
    most: int,
    share: float,
    least: float,
    largest: float,
    generator: torch.Generator,
    even: float = 0.0,
) -> Tensor:
    """Ellipses with smooth or ragged borders, around any pixel of the roi.

    Args:
        roi: (B, 1, ...) bool.
        most: blobs; an image that has any has 1 to this many.
        share: of the images have any.
        least: smallest half axis, in pixels.
        largest: largest half axis.
        generator: of all numbers.
        even: share of the blobs whose half axes are of all sizes alike; the others are more often small.

    Returns:
        (B, most, ...) bool, one plane a blob, cut to the roi.
    """
    number, dims, device = len(roi), roi.ndim - 2, roi.device
    sides = roi.shape[2:]
    some = uniform((number, 1), generator=generator, device=device) < share
    count = 1 + (uniform((number, 1), generator=generator, device=device) * most).floor()
    there = some & (torch.arange(most, device=device) < count)
    lines = [torch.arange(side, device=device, dtype=torch.float32) for side in sides]
    points = torch.stack(torch.meshgrid(*lines, indexing="ij")).reshape(dims, -1)
    # The highest of random numbers within the roi is at any of its pixels alike.
    drawn = uniform((number, most, points.shape[1]), generator=generator, device=device)
    centres = points.T[(drawn * roi.flatten(2)).argmax(2)]
    spread = torch.rand((number, most, dims), generator=generator).to(device)
    # More small ones than large ones, as lesions are.
    axes = least * (largest / least) ** spread
    if even:
        alike = uniform((number, most, 1), generator=generator, device=device) < even
        axes = torch.where(alike, least + (largest - least) * spread, axes)
    frames = torch.linalg.qr(normal((number, most, dims, dims), generator=generator, device=device)).Q
    offsets = points - centres[..., None]
    along = torch.einsum("bmij,bmip->bmjp", frames, offsets) / axes[..., None]
    level = along.square().sum(2)
    ragged = uniform((number, most, 1), generator=generator, device=device)
    level = level * (1.0 + 0.6 * ragged * _grain(roi, most, generator).flatten(2)).clamp(min=0.2)
    inside = (level <= 1.0) & there[..., None]
    return inside.reshape(number, most, *sides) & roi


def _grain(roi: Tensor, planes: int, generator: torch.Generator) -> Tensor:
    """(B, planes, ...) smooth noise, about 1 in size."""
    sides = tuple(roi.shape[2:])
    grid = tuple(max(2, side // 5) for side in sides)
    points = normal((len(roi), planes, *grid), generator=generator, device=roi.device)
    mode = "bilinear" if len(sides) == 2 else "trilinear"
    return nn.functional.interpolate(points, size=sides, mode=mode, align_corners=True)


def pasted(anatomy: Tensor, blobs: Tensor, *, generator: torch.Generator) -> Tensor:
    """Anatomy in which every blob is of a tissue drawn at random, as homogeneous lesions are; half are mottled of two.

    Args:
        anatomy: (B, K, ...) with the background as its first plane.
        blobs: (B, n, ...) bool; later ones lie on top.
        generator: of the tissues.
    """
    number, planes = anatomy.shape[:2]
    many = blobs.shape[1]
    if not many or planes < 2:
        return anatomy
    device = anatomy.device
    tissues = 1 + (uniform((number, many, 2), generator=generator, device=device) * (planes - 1)).long()
    mottled = uniform((number, many), generator=generator, device=device) < 0.5
    grain = _grain(anatomy[:, :1], many, generator) > 0.4
    out = anatomy
    for blob in range(many):
        first, second = (
            nn.functional.one_hot(tissues[:, blob, which], planes).to(anatomy.dtype) for which in (0, 1)
        )
        ones = [one.reshape(number, planes, *[1] * (anatomy.ndim - 2)) for one in (first, second)]
        other = grain[:, blob : blob + 1] & mottled[:, blob].reshape(-1, *[1] * (anatomy.ndim - 1))
        out = torch.where(blobs[:, blob : blob + 1], torch.where(other, ones[1], ones[0]), out)
    return out


@without_autocast
def painted(images: Tensor, blobs: Tensor, *, generator: torch.Generator) -> Tensor:
    """Images in which every blob has a random, somewhat rough grey value of 0 to 1.5 in every channel, and soft borders for half of them.

    Args:
        images: (B, C, ...).
        blobs: (B, n, ...) bool; later ones lie on top.
        generator: of the grey values.
    """
    number, many = blobs.shape[:2]
    device, shape = images.device, [1] * (images.ndim - 2)
    greys = 1.2 * uniform((number, many, images.shape[1]), generator=generator, device=device)
    some = uniform((number, many), generator=generator, device=device)
    soft = gaussian_blur(blobs.float(), 0.8) * blobs
    grain = 0.15 * uniform((number, many, *shape), generator=generator, device=device)
    rough = 1.0 + grain * _grain(images[:, :1], max(many, 1), generator)[:, :many]
    out = images
    for blob in range(many):
        sharp = blobs[:, blob : blob + 1].float()
        weight = torch.where(some[:, blob].reshape(number, 1, *shape) < 0.5, soft[:, blob : blob + 1], sharp)
        out = out + weight * (greys[:, blob].reshape(number, -1, *shape) * rough[:, blob : blob + 1] - out)
    return out.clamp(max=BRIGHTEST)


def drawn_over(edges: Tensor, blobs: Tensor) -> Tensor:
    """Edges (B, 1, ...) without those inside the blobs (B, n, ...), but with the blobs' own outlines."""
    if not blobs.shape[1]:
        return edges
    inside = blobs.any(1, keepdim=True)
    outlines = anatomy_edges(blobs.to(edges.dtype)) * inside
    return torch.where(inside, outlines, edges)


def damaged(
    edges: Tensor,
    roi: Tensor,
    *,
    erased: Tensor,
    dropped: float,
    jitter: float,
    generator: torch.Generator,
) -> Tensor:
    """Edges with blobs erased, some pixels dropped, and some places moved by a pixel.

    Args:
        edges: (B, E, ...).
        roi: (B, 1, ...) bool.
        erased: (B, n, ...) bool.
        dropped: an image loses from none to this share of its pixels.
        jitter: share of the places that are moved by one pixel along an axis.
        generator: of all numbers.
    """
    number, dims, device = len(edges), edges.ndim - 2, edges.device
    kept = ~erased.any(1, keepdim=True) if erased.shape[1] else torch.ones_like(roi)
    if dropped:
        rate = dropped * uniform((number, *[1] * (dims + 1)), generator=generator, device=device)
        kept = kept & (uniform(tuple(roi.shape), generator=generator, device=device) >= rate)
    edges = edges * kept
    if not jitter:
        return edges
    grain = _grain(roi, 1, generator).abs()
    # Every n-th value is enough to tell which are the smallest.
    some = grain.flatten()[:: max(1, grain.numel() // 100_000)]
    moved = grain < torch.quantile(some, jitter)
    axis = 2 + int(torch.randint(dims, (), generator=generator))
    step = 1 if bool(torch.rand((), generator=generator) < 0.5) else -1
    return torch.where(moved & roi, edges.roll(step, axis), edges)
