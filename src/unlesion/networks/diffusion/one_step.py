"""One question per image, time and region, all in as few batches as memory allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unlesion.networks.diffusion.process import Process

# (noisy images, times (rows,), codes or None) -> answers.
Unet = Callable[[Tensor, Tensor, Tensor | None], Tensor]
# Numbers in one tensor of features at the first level, of which some ten live at once. On a CPU larger batches fall
# out of its cache and are slower; on a GPU they fill it.
MOST_FEATURES = {"cpu": 2**21, "other": 2**25}


def rows_at_once(images: Tensor, width: int) -> int:
    """How many images a network of `width` channels at its first level is asked about together."""
    most = MOST_FEATURES["cpu" if images.device.type == "cpu" else "other"]
    return max(1, most // (width * images[0, 0].numel()))


def redraw(
    unet: Unet,
    process: Process,
    images: Tensor,
    noise: Tensor,
    times: Sequence[int],
    *,
    context: Tensor | None = None,
    regions: Tensor | None = None,
    used: Tensor | None = None,
    roi: Tensor | None = None,
    most: int = 64,
) -> Tensor:
    """The clean image that the network sees in noisy versions of images, without a chain.

    Images, times and regions become the rows of one long batch, cut only where memory asks for it. No row knows of
    another.

    Args:
        unet: the network.
        process: says what its answers mean.
        images: (B, C, ...) clean.
        noise: (K, B, C, ...), for every time.
        times: K of them, from 0.
        context: (B, n) codes of the clean images, made once; or None.
        regions: (N, 1, ...) bool: the noise lies in one region at a time, the rest of the image stays clean, and only
            that region of the answer is used. Where regions overlap answers are averaged, and what no region covers
            stays as it is. None: the whole image at once.
        used: (N, 1, ...) bool, the part of each region whose answer is used; None: all of it.
        roi: (B, 1, ...) bool, where the answers matter. Where a region's part has none of it, the network is not asked
            and the image stays as it is, outside the roi; None: everywhere.
        most: rows in a batch.

    Returns:
        (K, B, C, ...) float32.
    """
    number = len(images)
    parts = 1 if regions is None else len(regions)
    counted = regions if used is None else used
    rows = torch.arange(len(times) * parts * number, device=images.device)
    if roi is not None:
        rows = rows[_holds_roi(roi, counted).flatten().repeat(len(times))]
    when = torch.as_tensor(list(times), device=images.device)
    drawn = images.float().repeat(len(times) * parts, *[1] * (images.ndim - 1))
    for chunk in rows.split(most) if len(rows) else ():
        time, part, image = chunk // (parts * number), chunk // number % parts, chunk % number
        clean, at = images[image], when[time]
        noisy = process.noisy(clean, noise[time, image], at)
        shown = noisy if regions is None else torch.where(regions[part], noisy, clean)
        answer = unet(shown, at, None if context is None else context[image])
        drawn[chunk] = process.clean_of(answer, noisy, at)
    drawn = drawn.reshape(len(times), parts, *images.shape)
    if counted is None:
        return drawn[:, 0]
    weights = counted[:, None].to(drawn.dtype)
    covered = weights.sum(0)
    mean = (drawn * weights).sum(1) / covered.clamp(min=1)
    return torch.where(covered > 0, mean, images)


def _holds_roi(roi: Tensor, counted: Tensor | None) -> Tensor:
    """Which parts of which images hold any roi: (N, B) bool, N = 1 if there are no parts."""
    seen = roi[None] if counted is None else roi[None] & counted[:, None]
    return seen.flatten(2).any(2)
