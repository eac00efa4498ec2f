"""Grey values of a redrawn image, fitted robustly to the scan: per tissue, and smoothly over the image."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

# Residuals beyond this many standard deviations do not pull at all (the biweight of Beaton and Tukey, Technometrics 1974).
CUT = 4.685
ROUNDS = 8


def smooth_basis(sides: tuple[int, ...], order: int, *, device: torch.device) -> Tensor:
    """Products of cosines of total order 1 to `order`, (P, ...), each within -1 to 1; P may be 0."""
    lines = [(torch.arange(side, device=device, dtype=torch.float32) + 0.5) / side for side in sides]
    planes = []
    for orders in itertools.product(range(order + 1), repeat=len(sides)):
        if not 1 <= sum(orders) <= order:
            continue
        waves = [torch.cos(math.pi * k * line) for k, line in zip(orders, lines, strict=True)]
        shapes = [
            wave.reshape([-1 if a == b else 1 for b in range(len(sides))]) for a, wave in enumerate(waves)
        ]
        plane = shapes[0]
        for shape in shapes[1:]:
            plane = plane * shape
        planes.append(plane.expand(sides))
    return torch.stack(planes) if planes else torch.zeros(0, *sides, device=device)


def regraded(
    drawn: Tensor, scan: Tensor, tissues: Tensor, roi: Tensor, *, order: int, ridge: float = 0.02
) -> Tensor:
    """The redrawn image with its grey values moved towards the scan's as far as few numbers can.

    Fits scan ~ drawn + sum_t (a_t + b_t drawn) [tissue t] + sum_j c_j wave_j drawn with Tukey's biweight, beginning at no
    change at all. What stands out, as a lesion does, has no say; a fit in which it only had less (Huber's) followed it.

    Args:
        drawn: (B, 1, ...).
        scan: (B, 1, ...).
        tissues: (B, T, ...), 0 to 1.
        roi: (B, 1, ...) bool.
        order: of the waves; 0 for none.
        ridge: how much the numbers are held at 0, in parts of the pixels.

    Returns:
        (B, 1, ...) float32, not below 0.
    """
    number = len(drawn)
    with torch.autocast(drawn.device.type, enabled=False):
        drawn, scan, tissues = drawn.float(), scan.float(), tissues.float()
        waves = smooth_basis(tuple(drawn.shape[2:]), order, device=drawn.device)
        terms = torch.cat([tissues, tissues * drawn, waves[None] * drawn], dim=1).flatten(2).double()
        inside = roi.flatten(2).double()
        wanted = (scan - drawn).flatten(2).double()
        held = ridge * inside.sum(2).clamp(min=1.0)
        identity = torch.eye(terms.shape[1], dtype=terms.dtype, device=terms.device)
        fit = torch.zeros_like(wanted)
        for _ in range(ROUNDS):
            rest = (wanted - fit).abs()
            size = 1.4826 * _median(rest, inside) + 1e-3
            weight = inside * (1.0 - (rest / (CUT * size)).clamp(max=1.0).square()).square()
            left = torch.einsum("bip,bjp->bij", terms * weight, terms) + held[..., None] * identity
            right = torch.einsum("bip,bxp->bix", terms * weight, wanted)
            fit = torch.einsum("bix,bip->bxp", torch.linalg.solve(left, right), terms)
        return (drawn + fit.float().reshape(number, 1, *drawn.shape[2:])).clamp(min=0.0)


def _median(values: Tensor, inside: Tensor) -> Tensor:
    """Median of (B, 1, n) values where `inside` is not 0: (B, 1, 1), 0 without any."""
    found = values.masked_fill(inside == 0, float("nan")).nanmedian(dim=2, keepdim=True).values
    return torch.nan_to_num(found)
