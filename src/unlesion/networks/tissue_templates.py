"""Where tissues are in the average brain: the MNI152 maps that come with nilearn, laid into the roi of an image."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from unlesion.networks.masking import bounding_boxes

# Voxels of the template, in mm.
RESOLUTION = 4


@lru_cache(maxsize=1)
def template_tissues() -> tuple[Tensor, Tensor]:
    """Fluid, grey and white matter (3, slices, rows, columns) float32, cut to the brain, and where that is, bool.

    Tissues sum to 1 everywhere, and are a third each outside the brain.

    Slices run upwards, rows to the back, columns to the left, as canonical axes of scans do. Nothing is downloaded.

    Source: Fonov et al., Unbiased average age-appropriate atlases for pediatric studies, NeuroImage 2011.
    """
    # nilearn takes a second to import.
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template

    whole, grey, white = (
        torch.from_numpy(load(resolution=RESOLUTION).get_fdata(dtype="float32").copy())
        for load in (load_mni152_template, load_mni152_gm_template, load_mni152_wm_template)
    )
    brain = whole > 0.05
    fluid = (brain.float() - grey - white).clamp(min=0.0)
    tissues = torch.stack([fluid, grey, white]) * brain
    # The file runs right, anterior, superior.
    tissues = tissues.permute(0, 3, 2, 1).flip(2, 3)
    low, high = bounding_boxes(tissues.sum(0)[None, None] > 0)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low[0], high[0], strict=True))
    cut = tissues[(slice(None), *box)]
    total = cut.sum(0, keepdim=True)
    tissues = torch.where(total > 0, cut / total.clamp(min=1e-6), torch.full_like(cut, 1.0 / 3.0))
    return tissues.contiguous(), total[0] > 0


def template_slice(height: float) -> Tensor:
    """(3, rows, columns) float32 probabilities of fluid, grey and white matter in a slice, cut to its brain's box.

    Args:
        height: 0 at the lowest slice of the brain, 1 at the highest; beyond counts as the end.

    A brain is narrower above its middle: the box of the whole brain would lay it too small into an roi that is cut tightly.
    """
    tissues, brain = template_tissues()
    number = round(min(max(height, 0.0), 1.0) * (len(brain) - 1))
    (low,), (high,) = bounding_boxes(brain[number][None, None])
    rows, columns = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return tissues[:, number, rows, columns]


def template_prior(roi: Tensor, position: Tensor) -> Tensor:
    """The template, or its slice at the height, stretched to the box around each roi: (B, 3, ...), fluid, grey and white matter.

    Args:
        roi: (B, 1, H, W) or (B, 1, D, H, W) bool, of a brain in canonical axes.
        position: (B,) height of a slice in its brain, 0 to 1; not used for volumes.

    Returns:
        Probabilities, nowhere below 0.05, that sum to 1 about; even outside the box.
    """
    tissues, _ = template_tissues()
    dims = roi.ndim - 2
    low, high = bounding_boxes(roi)
    out = torch.full((len(roi), 3, *roi.shape[2:]), 1.0 / 3.0, device=roi.device)
    for row in range(len(roi)):
        corner, size = low[row].tolist(), (high[row] - low[row]).tolist()
        if min(size) < 1:
            continue
        there = (template_slice(float(position[row])) if dims == 2 else tissues).to(roi.device)
        mode = "bilinear" if dims == 2 else "trilinear"
        laid = nn.functional.interpolate(there[None], size=size, mode=mode, align_corners=False)[0]
        mine = out[row]
        for axis, (first, length) in enumerate(zip(corner, size, strict=True)):
            mine = mine.narrow(axis + 1, int(first), int(length))
        mine.copy_(laid)
    return 0.05 + 0.85 * out
