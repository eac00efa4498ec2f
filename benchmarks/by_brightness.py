"""How methods do by how bright the lesion is.

Mean AP per scan in each third, method against reference, paired by subject:

    python benchmarks/by_brightness.py work/real-images/evaluations/lgg_flair intensity-seed0 dae-seed0

The condition that selects one third and every healthy scan, for `unlesion evaluate --where`, which gives the
pooled AP of that third:

    python benchmarks/by_brightness.py --where darkest work/real-images/evaluations/lgg_flair/intensity-seed0 MANIFEST

Brightness is the lesion's mean in the recipe's units, where 0.5 is the median of the tissue. Scans are put
into thirds by it. Intervals: 95 %, bootstrap over subjects. For research use only.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from unlesion.scans import Cohort

THIRDS = ["darkest", "middle", "brightest"]


def condition(third: str, evaluation: Path, manifest: Path) -> str:
    """`path=a,b,...`: the scans whose lesions are in that third, and the healthy ones."""
    scans = pd.read_csv(evaluation / "scans.csv")
    scans["third"] = pd.qcut(scans["lesion_brightness"], 3, labels=THIRDS)
    wanted = set(scans.loc[(scans["third"] == third) | (scans["label"] == "healthy"), "key"])
    rows = Cohort.open(manifest).entries
    return "path=" + ",".join(entry.columns["path"] for entry in rows if entry.key in wanted)


def table(folder: Path, reference: str, method: str, *, replicates: int = 2000) -> pd.DataFrame:
    """A row per third of brightness."""
    wanted = ["key", "subject", "ap", "lesion_brightness"]
    one = pd.read_csv(folder / reference / "scans.csv").dropna(subset=["ap", "lesion_brightness"])
    two = pd.read_csv(folder / method / "scans.csv")
    both = one[wanted].merge(two[["key", "ap"]], on="key", suffixes=("", "_method"))
    both["third"] = pd.qcut(both["lesion_brightness"], 3, labels=THIRDS)
    rng = np.random.default_rng(0)
    rows = []
    for third, part in both.groupby("third", observed=True):
        gain = part["ap_method"] - part["ap"]
        groups = [gain[part["subject"] == subject].to_numpy() for subject in part["subject"].unique()]
        drawn = [
            np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]).mean()
            for _ in range(replicates)
        ]
        low, high = np.percentile(drawn, [2.5, 97.5])
        rows.append(
            {
                "lesions": third,
                "brightness": f"{part['lesion_brightness'].min():.2f} to {part['lesion_brightness'].max():.2f}",
                "scans": len(part),
                "subjects": len(groups),
                reference: round(part["ap"].mean(), 3),
                method: round(part["ap_method"].mean(), 3),
                "difference": f"{gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]",
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("give: FOLDER REFERENCE METHOD [METHOD ...], or: --where THIRD EVALUATION MANIFEST")
    if sys.argv[1] == "--where":
        print(condition(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])))
        sys.exit()
    for name in sys.argv[3:]:
        print(table(Path(sys.argv[1]), sys.argv[2], name).to_string(index=False))
        print()
