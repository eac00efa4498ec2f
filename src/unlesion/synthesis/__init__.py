"""Primitives of artificial change: pure functions of arrays, millimetres and a random generator."""

from __future__ import annotations

from unlesion.synthesis.blending import average_blocks, blend
from unlesion.synthesis.deformation import exponential, jacobian_determinant, push, random_velocity
from unlesion.synthesis.fields import carry, resample_smooth, smooth_field, trilinear
from unlesion.synthesis.scanner import bias_field, limit_resolution, motion, rician, ringing, thick_slices
from unlesion.synthesis.shapes import cone, ellipsoid, random_axes, soften
from unlesion.synthesis.space import Space
from unlesion.synthesis.textures import cloud, retexture

__all__ = [
    "Space",
    "average_blocks",
    "bias_field",
    "blend",
    "carry",
    "cloud",
    "cone",
    "ellipsoid",
    "exponential",
    "jacobian_determinant",
    "limit_resolution",
    "motion",
    "push",
    "random_axes",
    "random_velocity",
    "resample_smooth",
    "retexture",
    "rician",
    "ringing",
    "smooth_field",
    "soften",
    "thick_slices",
    "trilinear",
]
