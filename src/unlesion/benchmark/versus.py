"""The paired difference of a row with the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unlesion.errors import BadInput
from unlesion.evaluation import compare

# The first that both rows have: cohorts without masks have no voxel metrics, and those of one modality no
# image AUROC within modality.
METRICS = {
    "voxel.ap": "voxel AP",
    "image.auroc_within_modality": "image AUROC within modality",
    "image.auroc": "image AUROC",
}


def against(reference: Path, evaluation: Path) -> dict[str, Any]:
    """The columns `versus_…` of an evaluation against the reference's.

    Args:
        reference: folder of the reference's evaluation.
        evaluation: folder of the row's.
    """
    try:
        comparison = compare([reference, evaluation])[0]
    except BadInput as error:
        return without(str(error))
    for name, title in METRICS.items():
        found = comparison.get(name)
        if found is None or found.first is None or found.second is None:
            continue
        if found.difference is None:
            # No lesser metric instead: the column would mean something else than the ranking.
            return without(found.why)
        low, high = found.ci or (None, None)
        return {
            "versus_metric": title,
            "versus_reference": found.difference,
            "versus_lo": low,
            "versus_hi": high,
            "versus_p": found.p_value,
        }
    return without("neither voxel AP nor image AUROC is defined")


def without(why: str) -> dict[str, Any]:
    """The columns of a row that cannot be compared."""
    return {"versus_note": f"no paired interval: {why}"}
