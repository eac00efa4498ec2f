"""What the restorer sees: edges of the anatomy or of the image, corrupted while it learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from unlesion.methods.base import MethodConfig
from unlesion.networks.canny import canny_edges
from unlesion.networks.contours import damaged, drawn_over, painted, pasted, random_blobs
from unlesion.networks.edges import anatomy_edges
from unlesion.networks.overlap import grouped


class CorruptionConfig(MethodConfig):
    """Settings of edges and of their corruption.

    Attributes:
        tissues: that the prior tells apart (3: fluid, grey and white matter); the anatomy has parts of each.
        edges: of the "anatomy", of the image by "canny", or "none": the restorer sees the anatomy itself.
        edge_planes: edges of all classes in "one" plane, of "each" class apart, or of whole "tissues" apart, without those
            between the parts of a tissue. The more edges, the more of a rough lesion is told with them.
        canny_low: grey values per pixel above which an edge of the image is weak.
        canny_high: above which it is strong.
        spurious: contours that belong to nothing, as lesions leave them: "pasted" into the anatomy as regions of a
            random class, "painted" into the image with a random grey value before its anatomy is found, or "none".
        corrupted_share: share of the images that have spurious contours, and of those that lose edges in blobs.
        spurious_most: such regions in an image.
        spurious_weight: of their pixels in the loss of the restored anatomy; 1 is that of all others.
        erased_most: blobs in which edges are erased.
        least_radius: smallest half axis of a blob, in sides of the image.
        largest_radius: largest half axis.
        dropped: largest share of an image's edge pixels that are dropped.
        jitter: share of the places where edges are moved by a pixel.
    """

    tissues: int = Field(3, ge=2, le=8)
    edges: Literal["anatomy", "canny", "none"] = "anatomy"
    edge_planes: Literal["one", "each", "tissues"] = "one"
    canny_low: float = Field(0.04, gt=0)
    canny_high: float = Field(0.08, gt=0)
    spurious: Literal["pasted", "painted", "none"] = "painted"
    corrupted_share: float = Field(0.7, ge=0, le=1)
    spurious_most: int = Field(3, ge=1)
    spurious_weight: float = Field(5.0, gt=0)
    erased_most: int = Field(4, ge=1)
    least_radius: float = Field(0.02, gt=0)
    largest_radius: float = Field(0.3, gt=0, le=1)
    dropped: float = Field(0.2, ge=0, le=1)
    jitter: float = Field(0.1, ge=0, le=1)

    def planes(self, classes: int) -> int:
        """Planes that the restorer sees, for that many classes and the background."""
        if self.edges == "none":
            return classes + 1
        if self.edges == "canny" or self.edge_planes == "one":
            return 1
        return 1 + (classes if self.edge_planes == "each" else self.tissues)


def edges_of(anatomy: Tensor, images: Tensor, roi: Tensor, config: CorruptionConfig) -> Tensor:
    """What the restorer sees of a scan: (B, E, ...)."""
    if config.edges == "none":
        return anatomy
    if config.edges == "canny":
        return canny_edges(images, roi, low=config.canny_low, high=config.canny_high)
    if config.edge_planes == "tissues":
        anatomy = torch.cat([anatomy[:, :1], grouped(anatomy[:, 1:], config.tissues)], dim=1)
    return anatomy_edges(anatomy, each=config.edge_planes != "one")


def corrupted(
    anatomy: Tensor,
    images: Tensor,
    roi: Tensor,
    config: CorruptionConfig,
    *,
    generator: torch.Generator,
    encode: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Edges with contours too many and too few, (B, E, ...); and where they belong to nothing, (B, 1, ...) bool.

    Args:
        anatomy: (B, 1 + K, ...) of the images.
        images: (B, C, ...).
        roi: (B, 1, ...) bool.
        config: which edges, and how much of each corruption.
        generator: of all numbers.
        encode: finds the anatomy of images.
    """
    side = max(roi.shape[2:])

    def blobs(most: int, even: float = 0.0) -> Tensor:
        return random_blobs(
            roi,
            most=most,
            share=config.corrupted_share,
            least=max(1.0, config.least_radius * side),
            largest=max(1.5, config.largest_radius * side),
            generator=generator,
            even=even,
        )

    if config.spurious == "none":
        spurious = torch.zeros_like(roi)[:, :0]
    else:
        # Half of them as often large as small: most lesion pixels lie in large lesions.
        spurious = blobs(config.spurious_most, even=0.5)
    where = spurious.any(1, keepdim=True)
    if config.spurious == "none":
        edges = edges_of(anatomy, images, roi, config)
    elif config.spurious == "painted":
        lesioned = painted(images, spurious, generator=generator)
        edges = edges_of(encode(lesioned) if config.edges != "canny" else anatomy, lesioned, roi, config)
    elif config.edges == "canny":
        edges = drawn_over(edges_of(anatomy, images, roi, config), spurious)
    else:
        changed = pasted(anatomy, spurious, generator=generator)
        edges = edges_of(changed, images, roi, config)
    if config.edges == "none":
        return edges, where
    lost = damaged(
        edges,
        roi,
        erased=blobs(config.erased_most),
        dropped=config.dropped,
        jitter=config.jitter,
        generator=generator,
    )
    return lost, where
