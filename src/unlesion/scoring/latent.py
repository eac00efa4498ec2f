"""How far a scan's code lies from the code of its redrawing, slice by slice.

A healthy slice is redrawn as it is, and its redrawing is given about the same code. What the network took off
moves the code. Source: Albu, Enescu, Malagò, Tumor detection in brain MRIs by computing dissimilarities in
the latent space of a variational autoencoder, arXiv 2007.12528; the formulas are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.scoring.evidence import Floats

Doubles = NDArray[np.float64]
# The names under which methods give mean and log standard deviation of the scan's code and of its redrawing's.
CODES = ("mu", "log_sigma", "mu_redrawn", "log_sigma_redrawn")


def euclidean(mean: Doubles, sigma: Doubles, mean_2: Doubles, sigma_2: Doubles) -> Doubles:
    """Distance of the means."""
    return np.asarray(np.linalg.norm(mean - mean_2, axis=1))


def cosine(mean: Doubles, sigma: Doubles, mean_2: Doubles, sigma_2: Doubles) -> Doubles:
    """One minus the cosine between the means, 0 to 2; 1 where a mean is 0."""
    lengths = np.linalg.norm(mean, axis=1) * np.linalg.norm(mean_2, axis=1)
    return np.asarray(1.0 - (mean * mean_2).sum(1) / np.maximum(lengths, 1e-12))


def symmetric_kl(mean: Doubles, sigma: Doubles, mean_2: Doubles, sigma_2: Doubles) -> Doubles:
    """Kullback-Leibler divergence there plus that back, in nats."""
    squared = (mean - mean_2) ** 2
    ratio = (sigma / sigma_2) ** 2
    # The two logarithms cancel.
    return np.asarray(0.5 * (ratio + 1.0 / ratio - 2.0 + squared / sigma_2**2 + squared / sigma**2).sum(1))


def wasserstein(mean: Doubles, sigma: Doubles, mean_2: Doubles, sigma_2: Doubles) -> Doubles:
    """Square of the 2-Wasserstein distance."""
    return np.asarray(((mean - mean_2) ** 2 + (sigma - sigma_2) ** 2).sum(1))


def fisher_rao(mean: Doubles, sigma: Doubles, mean_2: Doubles, sigma_2: Doubles) -> Doubles:
    """Fisher-Rao distances of the code's numbers, each a normal distribution by itself, summed."""
    squared = (mean - mean_2) ** 2 / 2.0 + (sigma - sigma_2) ** 2
    return np.asarray(np.sqrt(2.0) * np.arccosh(1.0 + squared / (2.0 * sigma * sigma_2)).sum(1))


DISSIMILARITIES: Mapping[str, Callable[[Doubles, Doubles, Doubles, Doubles], Doubles]] = {
    "latent-l2": euclidean,
    "latent-cosine": cosine,
    "latent-kl": symmetric_kl,
    "latent-w2": wasserstein,
    "latent-fisher-rao": fisher_rao,
}


def dissimilarity(name: str, latent: Mapping[str, Floats]) -> NDArray[np.float64]:
    """One number per slice, (S,): larger where the redrawing's code is further from the scan's.

    Args:
        name: of `DISSIMILARITIES`.
        latent: codes by name, each (S, n); those of `CODES` are needed.

    Raises:
        BadInput: the method gives no such codes.
    """
    missing = [code for code in CODES if code not in latent]
    if missing:
        raise BadInput(
            f"scoring.scan={name}: the method gives no distribution of codes; use scoring.scan=map, or a "
            "variational method"
        )
    mean, log_sigma, mean_2, log_sigma_2 = (_double(latent[code]) for code in CODES)
    return DISSIMILARITIES[name](mean, np.exp(log_sigma), mean_2, np.exp(log_sigma_2))


def _double(values: NDArray[Any]) -> Doubles:
    return np.asarray(values, dtype=np.float64)
