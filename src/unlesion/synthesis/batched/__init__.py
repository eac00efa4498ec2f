"""Primitives of artificial change for batches of images at once, in torch: pure functions of tensors.

Slices (B, C, H, W) and volumes (B, C, D, H, W) go through the same code. What is random is drawn by the caller
and handed in, so that every function can be checked by hand.
"""

from __future__ import annotations

from unlesion.synthesis.batched.blending import add_within, blend
from unlesion.synthesis.batched.places import place_inside, shifted
from unlesion.synthesis.batched.shapes import ball, blob, box, offsets, turned
from unlesion.synthesis.batched.smoothing import blur_each
from unlesion.synthesis.batched.textures import match_range
from unlesion.synthesis.batched.tissue import choose_classes, grey_classes

__all__ = [
    "add_within",
    "ball",
    "blend",
    "blob",
    "blur_each",
    "box",
    "choose_classes",
    "grey_classes",
    "match_range",
    "offsets",
    "place_inside",
    "shifted",
    "turned",
]
