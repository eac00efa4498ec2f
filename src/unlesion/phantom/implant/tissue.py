"""Tissue of a real scan: what white matter, grey matter and fluid look like in it, and where they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from unlesion.errors import BadInput
from unlesion.phantom.contrast import APPEARANCES

Array = NDArray[np.float32]
Sizes = tuple[float, float, float]

# Modalities whose tissues are ordered as those of one that the phantom knows.
ALIKE = {"T1CE": "T1", "T1C": "T1", "T1GD": "T1", "T1W": "T1", "T2W": "T2", "PDW": "PD"}
# Half the width of a plateau, as a share of the distance of two tissues: noise is no partial volume.
PLATEAU = 0.2
BIAS_MM = 22.0
SAMPLE = 6_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Tissue:
    """Tissues of a scan.

    Attributes:
        white, grey, fluid: fractions adding up to 1 in the brain, 0 outside.
        levels: mean signal of "white", "grey" and "fluid", in the scan's units.
        bias: slow multiplicative field around 1.
        noise: standard deviation of what is finer than tissue, in the scan's units.
        modality: the phantom's name of the contrast.
    """

    white: Array
    grey: Array
    fluid: Array
    levels: dict[str, float]
    bias: Array
    noise: float
    modality: str

    @property
    def contrast(self) -> float:
        """Difference of white and grey matter, the unit of contrasts; above 0."""
        return abs(self.levels["white"] - self.levels["grey"])

    def turned(self) -> Tissue:
        """Front to back."""
        white, grey, fluid, bias = (
            np.ascontiguousarray(part[:, ::-1]) for part in (self.white, self.grey, self.fluid, self.bias)
        )
        return replace(self, white=white, grey=grey, fluid=fluid, bias=bias)


def known_modality(name: str, key: str) -> str:
    """The phantom's modality that a scan's is like.

    Raises:
        BadInput: none is.
    """
    upper = name.upper().replace("-", "").replace("_", "")
    upper = ALIKE.get(upper, upper)
    if upper in APPEARANCES:
        return upper
    raise BadInput(
        f"{key}: lesions for modality {name!r} are not known; name it {', '.join(APPEARANCES)} in the "
        "manifest's column 'modality'"
    )


def find_tissue(image: Array, brain: NDArray[np.bool_], sizes: Sizes, *, modality: str, key: str) -> Tissue:
    """Estimate the tissues of a healthy brain.

    Three Gaussians are fitted to the brain's signal and taken in the order of the modality, a slow bias is
    divided out, and the signal between two tissues is read as partial volume.

    Args:
        image: (x, y, z) the scan.
        brain: the same, bool.
        sizes: mm per voxel.
        modality: T1, T2, FLAIR or PD.
        key: for the message.

    Raises:
        BadInput: the brain shows no three tissues.
    """
    sigma = [0.0 if count == 1 else 0.5 / size for count, size in zip(image.shape, sizes, strict=True)]
    smooth = _inside_mean(image, brain, sigma)
    bias = np.ones(image.shape, np.float32)
    inner = _inner(brain, sizes)
    levels = _levels(smooth[inner], modality, key)
    slow = [0.0 if count == 1 else BIAS_MM / size for count, size in zip(image.shape, sizes, strict=True)]
    for _ in range(2):
        parts = fractions(smooth / bias, brain, levels, modality)
        # Whole tissues, not fractions: a bias taken for partial volume would hide itself.
        solid = brain & (parts["fluid"] < 0.5)
        model = np.where(parts["white"] > parts["grey"], levels["white"], levels["grey"]).astype(np.float32)
        bias = _slow_ratio(smooth, model, solid, slow)
        levels = _levels((smooth / bias)[inner], modality, key)
    parts = fractions(smooth / bias, brain, levels, modality)
    if modality == "FLAIR":
        parts = _coat(parts, brain, sizes)
    rest = image - _inside_mean(image, brain, [2 * s for s in sigma])
    deep = parts["white"] > 0.95
    noise = 1.4826 * float(np.median(np.abs(rest[deep if deep.sum() > 50 else brain])))
    return Tissue(**parts, levels=levels, bias=bias, noise=noise, modality=modality)


def fractions(
    signal: Array, brain: NDArray[np.bool_], levels: dict[str, float], modality: str
) -> dict[str, Array]:
    """Fractions of the tissues from a signal without bias, by linear mixing of neighbours in brightness."""
    order = ordered(modality)
    low, middle, high = (levels[name] for name in order)

    def share(values: Array, first: float, second: float) -> Array:
        t = (values - first) / (second - first)
        return np.clip((t - PLATEAU) / (1 - 2 * PLATEAU), 0, 1)

    upper = share(signal, middle, high)
    lower = 1 - share(signal, low, middle)
    between = 1 - np.maximum(upper, lower)
    parts = dict(zip(order, (lower * (upper == 0), between, upper), strict=True))
    return {name: (parts[name] * brain).astype(np.float32) for name in ("white", "grey", "fluid")}


def ordered(modality: str) -> list[str]:
    """The tissues from dark to bright."""
    look = APPEARANCES[modality]
    return sorted(("white", "grey", "fluid"), key=lambda name: float(getattr(look, name)))


def _levels(values: Array, modality: str, key: str) -> dict[str, float]:
    """Mean signals of the tissues."""
    from sklearn.mixture import GaussianMixture

    low, high = np.percentile(values, (0.5, 99.7))
    kept = np.sort(values[(values >= low) & (values <= high)])
    if kept.size < 200 or not high > low:
        raise BadInput(f"{key}: no brain with three tissues was found; implants need healthy brain scans")
    kept = kept[:: max(1, kept.size // SAMPLE)].astype(np.float64)[:, None]
    look = APPEARANCES[modality]
    order = ordered(modality)
    # Started from the typical look, scaled to this scan's middle.
    typical = np.array([getattr(look, name) for name in order], dtype=np.float64)
    scale = float(np.median(kept)) / float((look.white + look.grey) / 2)
    mixture = GaussianMixture(
        3,
        means_init=(typical * scale)[:, None],
        weights_init=_weights(order),
        reg_covar=1e-4 * scale**2,
        random_state=0,
    )
    mixture.fit(kept)
    means = np.sort(mixture.means_[:, 0])
    found = dict(zip(order, (float(mean) for mean in means), strict=True))
    if not all(b - a > 1e-3 * (high - low) for a, b in pairwise(means)):
        raise BadInput(f"{key}: white and grey matter look alike; implants need scans that show tissues")
    # Fluid is thin in many places, where partial volume lifts it towards grey matter: its purest part counts, and
    # on T1 and FLAIR it is dark, however little of it there is.
    dark = order[0] == "fluid"
    border = (found["fluid"] + found["grey"]) / 2
    pure = kept[kept <= border] if dark else kept[kept >= border]
    if pure.size:
        found["fluid"] = float(np.percentile(pure, 8 if dark else 92))
    if dark:
        found["fluid"] = min(found["fluid"], 0.45 * min(found["white"], found["grey"]))
    return found


def _weights(order: list[str]) -> list[float]:
    shares = {"white": 0.45, "grey": 0.43, "fluid": 0.12}
    return [shares[name] for name in order]


def _slow_ratio(image: Array, model: Array, firm: NDArray[np.bool_], sigma: list[float]) -> Array:
    if not firm.any():
        return np.ones(image.shape, np.float32)
    # A slow field needs few voxels: every few ones, and a smooth interpolation between them.
    steps = [max(1, int(s / 4)) for s in sigma]
    thin = tuple(slice(None, None, step) for step in steps)
    wide = [s / step for s, step in zip(sigma, steps, strict=True)]
    above = ndimage.gaussian_filter(np.where(firm, image, 0)[thin], wide, mode="constant")
    below = ndimage.gaussian_filter(np.where(firm, model, 0)[thin], wide, mode="constant")
    small = 1e-3 * float(below.max())
    ratio = np.where(below > small, above / np.maximum(below, small), 1.0).astype(np.float32)
    for axis, (step, count) in enumerate(zip(steps, image.shape, strict=True)):
        at = np.arange(count) / step
        low = np.minimum(at.astype(int), max(ratio.shape[axis] - 2, 0))
        share = np.clip(at - low, 0, 1).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        high = np.minimum(low + 1, ratio.shape[axis] - 1)
        ratio = np.take(ratio, low, axis=axis) * (1 - share) + np.take(ratio, high, axis=axis) * share
    return np.clip(ratio, 0.6, 1.6).astype(np.float32)


def _inside_mean(image: Array, brain: NDArray[np.bool_], sigma: list[float]) -> Array:
    """Gaussian mean over the brain alone: its edge does not darken."""
    weight = ndimage.gaussian_filter(brain.astype(np.float32), sigma, mode="constant")
    total = ndimage.gaussian_filter(np.where(brain, image, 0).astype(np.float32), sigma, mode="constant")
    return np.where(brain, total / np.maximum(weight, 1e-6), 0).astype(np.float32)


def _inner(brain: NDArray[np.bool_], sizes: Sizes) -> NDArray[np.bool_]:
    """The brain without its outermost two millimetres, which a mask may have cut through."""
    axes = 2 if brain.shape[2] == 1 else 3
    flat = np.pad(brain.reshape(brain.shape[:axes]), 1)
    depth = ndimage.distance_transform_edt(flat, sampling=sizes[:axes])
    inner = (depth[(slice(1, -1),) * axes] > 2.5).reshape(brain.shape)
    return inner if inner.sum() > 0.3 * brain.sum() else brain


def _coat(parts: dict[str, Array], brain: NDArray[np.bool_], sizes: Sizes) -> dict[str, Array]:
    """On FLAIR the way from grey matter to fluid crosses white matter's level: near fluid it is grey matter."""
    axes = tuple(slice(None) if count > 1 else 0 for count in brain.shape)
    solid = (brain & (parts["fluid"] < 0.5))[axes]
    mm = [size for size, count in zip(sizes, brain.shape, strict=True) if count > 1]
    near = (ndimage.distance_transform_edt(solid, sampling=mm) < 2.5).reshape(brain.shape)
    moved = np.where(near, parts["white"], 0)
    return {"white": parts["white"] - moved, "grey": parts["grey"] + moved, "fluid": parts["fluid"]}
