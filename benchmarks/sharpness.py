"""How sharp, and how like the scan, healthy scans are redrawn: a row a run.

    python benchmarks/sharpness.py work/implants/oasis/manifest.csv work/implants/bench/runs/implants_oasis/*-seed0
    python benchmarks/sharpness.py --where source=cxr_nih MANIFEST RUN [RUN ...]

On the healthy scans of split test, on the grid that the network draws, inside the roi. "detail" is the sum of squared
grey-value gradients of the healthy image over that of the scan (median over scans): 1 is as sharp as the scan, a
smooth image is near 0. Noise is detail, too: look at SSIM beside it, and at the pictures (`benchmarks/sheet.py`).
For research use only; not a medical device.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from monai.metrics.regression import SSIMMetric
from torch import Tensor

from unlesion.detector import Detector
from unlesion.scans import Cohort


def gradient_energy(images: Tensor, roi: Tensor) -> float:
    """Sum of squared differences between neighbours that both lie in the roi; both (slices, 1, H, W)."""
    energy = 0.0
    for axis in (2, 3):
        both = roi.narrow(axis, 1, roi.shape[axis] - 1) & roi.narrow(axis, 0, roi.shape[axis] - 1)
        energy += float((images.diff(dim=axis).square() * both).sum())
    return energy


def row(run: Path, cohort: Cohort) -> str:
    """What is measured of one run."""
    detector = Detector.load(run)
    ssim = SSIMMetric(spatial_dims=2, data_range=1.5)
    details, likeness = [], []
    for entry in cohort.select(split="test", label="healthy"):
        evidence = detector.evidence(detector.prepare(entry.read()))
        if evidence.healthy is None:
            raise SystemExit(f"{run}: draws no healthy images")
        prepared = evidence.prepared
        images, healthy = (
            torch.from_numpy(np.array(found, dtype=np.float32)).flatten(0, 1)[:, None]
            for found in (prepared.images, evidence.healthy)
        )
        roi = torch.from_numpy(np.array(prepared.roi)).bool()
        # Every channel is an image of its own.
        roi = roi.repeat_interleave(prepared.images.shape[1], 0)[:, None]
        details.append(gradient_energy(healthy * roi, roi) / gradient_energy(images * roi, roi))
        likeness.append(float(torch.as_tensor(ssim(healthy * roi, images * roi)).mean()))
    return f"| {run.name.removesuffix('-seed0')} | {np.median(details):.2f} | {np.median(likeness):.3f} | {len(details)} |"


def main(words: list[str]) -> None:
    """See the top of this file."""
    where: list[str] = []
    while words[:1] == ["--where"]:
        where, words = [*where, words[1]], words[2:]
    cohort = Cohort.open(Path(words[0]), where=where)
    print("| method | detail | SSIM | healthy scans |\n|---|---|---|---|")
    for run in words[1:]:
        print(row(Path(run), cohort), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
