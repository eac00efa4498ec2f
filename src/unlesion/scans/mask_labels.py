"""Labels and lesion masks: what masks say where a manifest has no labels, and where the two disagree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unlesion.scans.manifest import Row, Table, inside, mask_values
from unlesion.scans.reading import has_marks
from unlesion.wording import count


def labelled_by_masks(path: Path, columns: Sequence[str], rows: Sequence[Row], *, root: Path) -> Table:
    """The rows of a manifest; without a column `label` but with masks they get one.

    A row is anomalous if its own mask marks anything. A row without a mask is anomalous if a row of the same
    subject, scan and position is: another channel of the scan shows the same lesion.

    Args:
        path: the manifest.
        columns: its columns.
        rows: all of its rows, so that labels do not depend on what is selected.
        root: the folder that paths are relative to.

    Raises:
        BadInput: the path of a mask leads out of that folder.
    """
    if "label" in columns or not any(row.get("mask_path") for row in rows):
        return Table(columns=tuple(columns), rows=list(rows))
    masks = [inside(path, row, "mask_path") for row in rows]
    # Channels share a mask: each is opened once. One that cannot be read may mark anything.
    asked = [(mask, mask_values(path, row)) for mask, row in zip(masks, rows, strict=True)]
    marked: dict[tuple[str | None, tuple[float, ...]], bool] = {
        (mask, values): has_marks(root / mask, values) is not False
        for mask, values in dict.fromkeys(asked)
        if mask is not None
    }
    ill = {_scan(row) for row, one in zip(rows, asked, strict=True) if marked.get(one, False)}
    labelled = []
    for row, one in zip(rows, asked, strict=True):
        has_lesion = marked.get(one, _scan(row) in ill)
        label = "anomalous" if has_lesion else "healthy"
        labelled.append(Row(row.number, {**row.values, "label": label}, row.files))
    anomalous = sum(row.get("label") == "anomalous" for row in labelled)
    note = (
        f"{path}: no column 'label', so labels are taken from the lesion masks: {count(anomalous, 'image')} anomalous, "
        f"{len(rows) - anomalous} healthy; a column 'label' can say otherwise"
    )
    return Table(columns=(*columns, "label"), rows=labelled, warnings=(note,) if anomalous else ())


def marked_but_healthy(key: str) -> str:
    """What to say of a scan that is labelled healthy but has a mask that marks a lesion."""
    return (
        f"{key}: labelled healthy, but its mask marks a lesion; correct the label or the mask, "
        "because healthy scans alone teach what is usual (the outline of a brain or organ is a roi_path)"
    )


def _scan(row: Row) -> tuple[str, ...]:
    """What rows that are channels of one scan share."""
    names = tuple(row.get(name) for name in ("source", "subject", "scan", "position"))
    return names if row.get("subject") or row.get("scan") else (row.get("path"),)
