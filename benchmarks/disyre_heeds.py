"""Does a trained `disyre` heed the strength it is told? How much it changes healthy scans, a row a strength.

    python benchmarks/disyre_heeds.py MANIFEST RUN --where source=lgg_flair --split val

A network that heeds it leaves a scan nearly alone when told that its anomaly is weak. Mean absolute change inside the roi, of the
healthy scans of a split. For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from unlesion.batching import batches_of
from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.methods.denoising.disyre import Disyre
from unlesion.scans import Cohort


def main() -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--where", action="append", default=[])
    parser.add_argument("--split", default="val")
    given = parser.parse_args()
    detector = Detector.load(given.run)
    method = detector.method
    if not isinstance(method, Disyre):
        raise BadInput(f"{given.run}: a run of {method.name}; give one of disyre")
    changes: dict[float, list[float]] = {strength: [] for strength in method.config.told}
    for entry in Cohort.open(given.manifest, where=given.where).select(split=given.split, label="healthy"):
        for _, batch in batches_of(detector.prepare(entry.read()), seed=0):
            images = batch.images * batch.roi
            told = method.told(detector.network, batch)
            for strength, found in changes.items():
                with torch.no_grad():
                    restored = told(images, images.new_full((len(images),), strength))
                found.append(float((restored - images).abs()[batch.roi.expand_as(images)].mean()))
    print("| strength told | mean change of a healthy scan |\n|---|---|")
    for strength, found in changes.items():
        print(f"| {strength:.4f} | {np.mean(found):.4f} |")


if __name__ == "__main__":
    main()
