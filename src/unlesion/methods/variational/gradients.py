"""How the terms of the evidence lower bound would change with every pixel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unlesion.methods.batch import Batch
from unlesion.methods.variational.network import divergence
from unlesion.networks.modes import asking
from unlesion.networks.smoothing import blur_inside


@dataclass(frozen=True, kw_only=True, eq=False)
class GradientEvidence:
    """What a variational network says about a batch.

    Attributes:
        healthy: reconstruction from the mean code, (B, C, ...), 0 outside the roi.
        kl: |dKL/dx|, mean over the channels, blurred, (B, ...).
        elbo: |d(error + beta · KL)/dx|, likewise.
        codes: the four of latent evidence: `mu`, `log_sigma`, and both of the reconstruction, `…_redrawn`.
    """

    healthy: Tensor
    kl: Tensor
    elbo: Tensor
    codes: dict[str, Tensor]


def codes_of(
    network: nn.Module, batch: Batch, mean: Tensor, log_sigma: Tensor, healthy: Tensor
) -> dict[str, Tensor]:
    """The code of the images and, where it will be read, that of their redrawing."""
    codes = {"mu": mean, "log_sigma": log_sigma}
    if batch.wants("mu_redrawn", "log_sigma_redrawn"):
        with asking(network):
            codes["mu_redrawn"], codes["log_sigma_redrawn"] = network.encode(healthy * batch.roi)  # type: ignore[operator]
    return codes


def gradient_maps(
    network: nn.Module,
    batch: Batch,
    *,
    error: Callable[[Tensor, Tensor, Tensor], Tensor],
    beta: float,
    samples: int,
    smoothing: float,
) -> GradientEvidence:
    """Reconstruct a batch and take the gradients at its pixels.

    Args:
        network: a `VariationalNetwork`, told the modalities if it is to be.
        batch: the images.
        error: (drawn, images, roi) -> each image's reconstruction error (B,).
        beta: weight of the divergence.
        samples: codes drawn per image, from the image's own seed, whose gradients are averaged; 0
            uses the mean code.
        smoothing: standard deviation of the blur, in pixels.

    Source: Zimmerer et al., Unsupervised Anomaly Localization using Variational Auto-Encoders, 2019.
    """
    with asking(network, gradients=True):
        images = (batch.images * batch.roi).clone().requires_grad_()
        roi = batch.roi.clone()
        mean, log_sigma = network.encode(images)  # type: ignore[operator]
        healthy = network.decode(mean)  # type: ignore[operator]
        kl_total = divergence(mean, log_sigma).sum()
        (kl_gradient,) = torch.autograd.grad(kl_total, images, retain_graph=True)
        if samples:
            noise = batch.noise((samples, mean.shape[1])).clone()
            codes = [mean + noise[:, k] * log_sigma.exp() for k in range(samples)]
            drawn_images = [network.decode(code) for code in codes]  # type: ignore[operator]
            total = torch.stack([error(drawn, images, roi).sum() for drawn in drawn_images]).mean()
        else:
            total = error(healthy, images, roi).sum()
        (error_gradient,) = torch.autograd.grad(total, images)
    latent = codes_of(network, batch, mean, log_sigma, healthy)
    roi = batch.roi
    kl_map = blur_inside(kl_gradient.abs().mean(1, keepdim=True), roi, smoothing)
    elbo_map = blur_inside((error_gradient + beta * kl_gradient).abs().mean(1, keepdim=True), roi, smoothing)
    return GradientEvidence(
        healthy=healthy.detach().float() * roi,
        kl=kl_map[:, 0],
        elbo=elbo_map[:, 0],
        codes={name: code.detach() for name, code in latent.items()},
    )
