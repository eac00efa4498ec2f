"""What each part of the reversed autoencoder's map is worth: a row a map, made of the same healthy images.

    python benchmarks/ra_maps.py MANIFEST RUN --where source=lgg_flair --split val

Pooled AP over the pixels of all scans and the mean AP of a slice with a lesion, inside the recipe's roi, on every second pixel
of the scan's grid, after a 5 x 5 median on the network's. For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from sklearn.metrics import average_precision_score
from torch import Tensor

from unlesion.batching import batches_of
from unlesion.detector import Detector
from unlesion.methods.adversarial.ra import normalised_by_percentile
from unlesion.networks.adaptive_equalise import adaptive_equalise
from unlesion.networks.perceptual import feature_distance
from unlesion.networks.smoothing import blur_inside
from unlesion.scans import Cohort

BRIGHTEST = 1.5


def equalised_residual(images: Tensor, healthy: Tensor, roi: Tensor, *, alike: bool) -> Tensor:
    """(B, H, W); `alike`: a white pixel in a corner of both makes both images be stretched alike."""
    pair = [images.clone(), healthy.clone()]
    if alike:
        for image in pair:
            image[..., 0, 0] = BRIGHTEST
    one, other = (adaptive_equalise(image.clamp(0, BRIGHTEST), ceiling=BRIGHTEST) for image in pair)
    return (one - other).abs().mean(1) * roi[:, 0]


def maps_of(detector: Detector, batch: object) -> dict[str, Tensor]:
    """Every map of a batch, (B, H, W) each."""
    network, config = detector.network, detector.method.config
    images, roi = batch.images * batch.roi, batch.roi  # type: ignore[attr-defined]
    healthy = detector.method.explain(network, batch).healthy  # type: ignore[arg-type]
    assert healthy is not None
    plain = (images - healthy).abs().mean(1) * roi[:, 0]
    equalised = equalised_residual(images, healthy, roi, alike=False)
    taps = [network.taps(image) for image in (images, healthy)]  # type: ignore[operator]
    looks = {
        name: blur_inside(
            feature_distance(*taps, images.shape[2:], unit=name == "unit"), roi, config.smoothing
        )[:, 0]  # type: ignore[attr-defined]
        for name in ("plain", "unit")
    }
    return {
        "plain residual": plain,
        "equalised residual": equalised,
        "equalised residual, both stretched alike": equalised_residual(images, healthy, roi, alike=True),
        "perceptual map, plain features": looks["plain"],
        "perceptual map, features of length 1": looks["unit"],
        "norm95": normalised_by_percentile(equalised, roi[:, 0]) * looks["plain"],
        "plain95": normalised_by_percentile(plain, roi[:, 0]) * looks["plain"],
    }


def main() -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--where", action="append", default=[])
    parser.add_argument("--split", default="val")
    given = parser.parse_args()
    detector = Detector.load(given.run)
    found: dict[str, list[NDArray[np.float32]]] = {}
    truth: list[NDArray[np.bool_]] = []
    for entry in Cohort.open(given.manifest, where=given.where).select(split=given.split):
        scan = entry.read()
        prepared = detector.prepare(scan)
        inside = prepared.restore(prepared.roi.astype(np.float32))[::2, ::2] > 0.5
        whole: dict[str, NDArray[np.float32]] = {}
        for where, batch in batches_of(prepared, seed=0):
            with torch.no_grad():
                for name, values in maps_of(detector, batch).items():
                    full = whole.setdefault(name, np.zeros(prepared.roi.shape, np.float32))
                    full[where] = median_filter(values.numpy(), (1, 5, 5))
        for name, full in whole.items():
            found.setdefault(name, []).append(prepared.restore(full)[::2, ::2][inside])
        if whole:
            lesions = np.zeros(scan.grid.shape, bool) if scan.lesions is None else scan.lesions
            truth.append(lesions[::2, ::2][inside])
    print("| map | pooled AP | AP per slice |\n|---|---|---|")
    for name, each in found.items():
        pooled = average_precision_score(np.concatenate(truth), np.concatenate(each))
        alone = [average_precision_score(t, v) for t, v in zip(truth, each, strict=True) if t.any()]
        print(f"| {name} | {pooled:.3f} | {np.mean(alone):.3f} |")


if __name__ == "__main__":
    main()
