"""One-hot maps that a gradient passes."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from unlesion.networks.draws import uniform

Operator = Literal["straight", "gumbel", "rounding", "softmax"]


class _Straight(torch.autograd.Function):
    """One-hot forwards, the softmax's derivative backwards; an own function, so that values are exactly 0 and 1."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, temperature: float) -> Tensor:
        ctx.save_for_backward((logits / temperature).softmax(1))
        ctx.temperature = temperature
        return _highest(logits)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        (soft,) = ctx.saved_tensors
        pulled = (gradient * soft).sum(1, keepdim=True)
        return soft * (gradient - pulled) / ctx.temperature, None


def _highest(logits: Tensor) -> Tensor:
    """1 at the highest of each pixel's logits, the first of several; 0 elsewhere."""
    top = (logits == logits.amax(1, keepdim=True)).to(logits.dtype)
    if (top.sum(1) > 1).any():
        # Rare, and several times slower.
        return torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1.0)
    return top


class _Rounding(torch.autograd.Function):
    """Rounding forwards; backwards the gradient as it is."""

    @staticmethod
    def forward(ctx: Any, soft: Tensor) -> Tensor:
        return soft.round()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


def differentiable_one_hot(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    operator: Operator = "straight",
    generator: torch.Generator | None = None,
) -> Tensor:
    """The most likely class of every pixel as 0 and 1, with a gradient.

    "straight" has the gradient of the softmax s at `temperature` T: d<c, y> / dL_k = s_k (c_k - sum_j c_j s_j) / T.
    "gumbel" adds Gumbel noise to the logits first. "rounding" is softmax, rounded, with the gradient of the softmax;
    where no class has half of the probability it is 0 in all of them. "softmax" is no one-hot map at all.

    Args:
        logits: (B, K, ...).
        temperature: above 0; of the gradient, and of "softmax" and "rounding" themselves.
        operator: which.
        generator: for "gumbel"; without one no noise is added.

    Returns:
        (B, K, ...) float32.

    Source: Jang, Gu, Poole, Categorical reparameterization with Gumbel-softmax, ICLR 2017 (straight-through, Gumbel);
    Chartsias et al., Disentangled representation learning in cardiac image analysis, MedIA 2019 (rounding).
    """
    logits = logits.float()
    if operator == "gumbel" and generator is not None:
        drawn = uniform(tuple(logits.shape), generator=generator, device=logits.device).clamp(1e-9, 1 - 1e-7)
        logits = logits - (-drawn.log()).log()
    if operator in ("straight", "gumbel"):
        out: Tensor = _Straight.apply(logits, temperature)  # type: ignore[no-untyped-call]
        return out
    soft = (logits / temperature).softmax(1)
    if operator == "softmax":
        return soft
    rounded: Tensor = _Rounding.apply(soft)  # type: ignore[no-untyped-call]
    return rounded


def with_background(tissues: Tensor, roi: Tensor) -> Tensor:
    """Tissues (B, K, ...) inside the roi (B, 1, ...), and before them a plane that is 1 outside: (B, 1 + K, ...)."""
    inside = roi.to(tissues.dtype)
    return torch.cat([1.0 - inside, tissues * inside], dim=1)
