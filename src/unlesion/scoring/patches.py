"""The rule "patch": is there a patch like this one, nearby in the healthy image?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unlesion.scoring.config import PatchConfig
from unlesion.scoring.evidence import Floats, PreparedLike

if TYPE_CHECKING:
    from torch import Tensor

# A smaller patch has no texture.
LEAST_PIXELS = 3
# Slices that are compared at once, for the memory's sake.
AT_ONCE = 16


def patch_map(prepared: PreparedLike, healthy: Floats, config: PatchConfig) -> Floats:
    """How unlike the scan's patches are to the likest ones nearby in the healthy image, each channel by itself.

    Args:
        prepared: the scan, images (S, C, H, W).
        healthy: (S, C, H, W).
        config: what is compared.

    Returns:
        (S, C, H, W) float32, 0 (alike) to 2; 0 outside the roi.
    """
    import torch

    volume = config.through_slices and prepared.slice_mm > 0 and prepared.images.shape[0] > 1
    first, second = (
        torch.from_numpy(np.ascontiguousarray(x, np.float32)) for x in (prepared.images, healthy)
    )
    with torch.inference_mode():
        if volume:
            # (S, C, H, W) to (C, 1, S, H, W)
            blocks = (x.transpose(0, 1)[:, None] for x in (first, second))
            spacing = (prepared.slice_mm, *prepared.spacing)
            found = _compared(*blocks, spacing=spacing, config=config)[:, 0].transpose(0, 1)
        else:
            chunks = zip(torch.split(first, AT_ONCE), torch.split(second, AT_ONCE), strict=True)
            parts = []
            for pair in chunks:
                flat = (x.flatten(0, 1)[:, None] for x in pair)
                part = _compared(*flat, spacing=prepared.spacing, config=config)
                parts.append(part.reshape(pair[0].shape))
            found = torch.cat(parts)
        return _smoothed(found, torch.from_numpy(prepared.roi), prepared.spacing, config.smooth_mm).numpy()


def _compared(scan: Tensor, healthy: Tensor, *, spacing: tuple[float, ...], config: PatchConfig) -> Tensor:
    """(B, 1, ...) and the same, to (B, 1, ...)."""
    from unlesion.networks.patches import filter_code, grey_code, patch_dissimilarity

    code = filter_code if config.embedding == "filters" else grey_code
    size = [max(LEAST_PIXELS, round(config.size_mm / one)) for one in spacing]
    reach = [max(1, round(config.search_mm / one)) if config.search_mm else 0 for one in spacing]
    return patch_dissimilarity(code(scan), code(healthy), size=size, reach=reach)


def _smoothed(maps: Tensor, roi: Tensor, spacing: tuple[float, float], smooth_mm: float) -> Tensor:
    """Slice by slice, inside the roi: (S, C, H, W)."""
    from unlesion.networks.smoothing import blur_inside

    return blur_inside(maps, roi[:, None], smooth_mm / (0.5 * sum(spacing)))
