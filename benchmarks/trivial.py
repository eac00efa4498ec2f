"""AUROC of a score that knows nothing of disease: "the image is not square".

    python benchmarks/trivial.py MANIFEST --where source=cxr_nih,cxr_covid --where pathology=none,COVID-19

A detector tested on healthy images of one source and ill ones of another must be read beside this number: it
shows how much the sources alone give away. For research use only.
"""

from __future__ import annotations

import argparse

from sklearn.metrics import roc_auc_score

from unlesion.scans import Cohort

parser = argparse.ArgumentParser()
parser.add_argument("manifest")
parser.add_argument("--where", action="append", default=[])
parser.add_argument("--split", default="test")
chosen = parser.parse_args()

cohort = Cohort.open(chosen.manifest, where=chosen.where).select(split=chosen.split)
labels, scores = [], []
for entry in cohort:
    rows, columns, _ = entry.read().grid.shape
    labels.append(entry.label != "healthy")
    scores.append(abs(rows / columns - 1.0))
print(
    f"{len(labels)} images, {sum(labels)} anomalous: AUROC of 'not square' {roc_auc_score(labels, scores):.3f}"
)
