"""Choosing rows of a cohort: `--where COLUMN=A,B` and `--channels T1,T2`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from unlesion.errors import BadInput
from unlesion.scans.entry import Entry
from unlesion.scans.manifest import Row


def rows_where(rows: Sequence[Row], where: Sequence[str], columns: Sequence[str], source: str) -> list[Row]:
    """Rows that fulfil every condition "column=a,b" (a or b).

    Args:
        rows: to choose from.
        where: conditions.
        columns: what the cohort has.
        source: its name, for the message.

    Raises:
        BadInput: not of that form, an unknown column, or nothing left.
    """
    left = list(rows)
    for condition in where:
        column, equals, values = condition.partition("=")
        column = column.strip()
        if not equals or not column:
            raise BadInput(f"--where {condition!r}: write COLUMN=VALUE, or COLUMN=A,B for either")
        if column not in columns:
            known = ", ".join(name for name in columns if name)
            raise BadInput(f"--where {condition!r}: {source} has no column {column!r}; it has {known}")
        wanted = {value.strip() for value in values.split(",")}
        chosen = [row for row in left if row.get(column) in wanted]
        if not chosen:
            there = _listed(sorted({row.get(column) for row in left}))
            raise BadInput(f"--where {condition!r}: no image of {source} is left; {column} there is {there}")
        left = chosen
    return left


def join_channels(
    entries: Sequence[Entry], channels: Sequence[str], source: str
) -> tuple[list[Entry], tuple[str, ...]]:
    """Join the entries of one scan and position into one entry with these channels, in this order.

    Entries of other modalities are left out; so are scans that lack a channel, with a warning.

    Raises:
        BadInput: unknown modality, the same one twice in a scan, channels that disagree on label or split,
            or no complete scan.
    """
    if len(set(channels)) != len(channels):
        raise BadInput(f"--channels {','.join(channels)}: a modality is named twice; name each once")
    known = sorted({entry.modality[0] for entry in entries})
    for channel in channels:
        if channel not in known:
            raise BadInput(
                f"--channels {','.join(channels)}: no image of {source} has modality {channel!r}; "
                f"there is {_listed(known)}"
                + ("; `unlesion manifest` writes a table to name them in" if known == [""] else "")
            )
    if len(channels) == 1:
        return [entry for entry in entries if entry.modality[0] == channels[0]], ()
    groups: dict[tuple[str, str, float | None], dict[str, Entry]] = {}
    for entry in entries:
        name = entry.modality[0]
        if name not in channels:
            continue
        # A cohort without scan identifiers joins by subject and position alone.
        group = groups.setdefault((entry.subject, entry.columns.get("scan", ""), entry.position), {})
        if name in group:
            raise BadInput(
                f"--channels {','.join(channels)}: {group[name].key} and {entry.key} are both {name} of one "
                "scan; choose one with --where, or give them different values in the column 'scan'"
            )
        group[name] = entry
    complete = [group for group in groups.values() if len(group) == len(channels)]
    if not complete:
        raise BadInput(
            f"--channels {','.join(channels)}: no scan of {source} has all of them; rows of one scan need "
            "equal subject, scan and position"
        )
    lacking = [next(iter(group.values())).key for group in groups.values() if len(group) < len(channels)]
    missing = len(lacking)
    warning = (
        f"{missing} of {len(groups)} scans lack one of the channels {', '.join(channels)} and were left out"
        + (f", the first that of {lacking[0]}" if lacking else "")
    )
    return [_joined([group[name] for name in channels]) for group in complete], (warning,) if missing else ()


def _joined(parts: list[Entry]) -> Entry:
    first = parts[0]
    for part in parts[1:]:
        if (part.label, part.split) != (first.label, first.split):
            raise BadInput(
                f"{first.key} and {part.key} are channels of one scan but differ in label or split; "
                "make the manifest say the same for both"
            )
    twins = [path for part in parts for path in part.twin_paths]
    masked = next((number for number, part in enumerate(parts) if part.mask_path), 0)
    bounded = next((number for number, part in enumerate(parts) if part.roi_path), 0)
    series = tuple(part.series[0] if part.series else () for part in parts)
    return replace(
        first,
        paths=tuple(path for part in parts for path in part.paths),
        series=series if any(series) else (),
        mask_path=parts[masked].mask_path,
        mask_values=parts[masked].mask_values,
        mask_channel=masked,
        roi_path=parts[bounded].roi_path,
        roi_channel=bounded,
        twin_paths=tuple(twins) if len(twins) == len(parts) else (),
        modality=tuple(part.modality[0] for part in parts),
    )


def _listed(values: Sequence[str]) -> str:
    shown = [value or "(empty)" for value in values[:12]]
    return ", ".join(shown) + (", ..." if len(values) > 12 else "")
