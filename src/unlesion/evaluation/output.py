"""The files of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.archive import write_arrays
from unlesion.evaluation.metric import Metric
from unlesion.files import whole_set, write_json, write_table

METRICS, SCANS, CURVES = "metrics.json", "scans.csv", "curves.json"
HISTOGRAMS, KINDS = "histograms.npz", "groups.npz"


def write_evaluation(
    out: Path,
    *,
    metrics: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    curves: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    kinds: Mapping[str, NDArray[Any]],
) -> None:
    """Write an evaluation into a folder, instead of an earlier one, whole or not at all; `metrics.json` says that all is there.

    Args:
        out: the folder; other files in it stay.
        metrics: nested, with `Metric` at its leaves or plain.
        rows: of `scans.csv`, a scan each.
        curves: points by scoring.
        arrays: counts by subject, from which `compare` works; none are written if empty.
        kinds: the same for every kind of scan.

    Raises:
        BadInput: it cannot be written.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with whole_set(Path(out), (SCANS, HISTOGRAMS, KINDS, CURVES, METRICS)) as new:
        write_table(new / SCANS, columns, rows)
        for name, content in ((HISTOGRAMS, arrays), (KINDS, kinds)):
            if content:
                write_arrays(new / name, content, compressed=True)
        write_json(new / CURVES, plain(curves))
        write_json(new / METRICS, plain(metrics))


def plain(value: Any) -> Any:
    """Nested metrics as plain JSON."""
    if isinstance(value, Metric):
        return plain(value.to_json())
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.item() if isinstance(value, np.generic) else value
