"""A public dataset as rows of a cohort."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path

from unlesion.errors import BadInput
from unlesion.scans.checks import reason
from unlesion.scans.datasets.layout import Layout, Version
from unlesion.scans.formats import dicom
from unlesion.scans.manifest import Row, Table, mask_values
from unlesion.scans.reading import has_marks
from unlesion.wording import count

COLUMNS = (
    "path", "mask_path", "mask_values", "roi_path", "subject", "scan", "modality", "label", "pathology",
    "source", "site", "age", "sex",
)  # fmt: skip


@dataclass(frozen=True)
class _File:
    """A file with what its path says; `path` is relative to the root."""

    path: str
    said: Mapping[str, str]


def table_of_dataset(layout: Layout, root: Path) -> Table:
    """The images of a public dataset below a folder, with masks, labels and what its tables say.

    Args:
        layout: of the dataset.
        root: the folder in which it lies as its providers hand it out, or another above or below, as long as the names of
            the layout are on the way.

    Returns:
        A row an image. `source` is the dataset's name; groups of the layout are columns.

    Raises:
        BadInput: no such folder, or one that cannot be read; nothing in it is of this layout; a table of the dataset
            that cannot be read.
    """
    files = _files(root)
    version, images, others = _version(layout, root, files)
    if version is None:
        raise BadInput(
            f"{root}: holds nothing of {layout.title} such as {layout.expected}; give the folder as its providers hand "
            "it out"
        )
    notes = []
    images, copies = _once(layout, images)
    if copies:
        notes.append(
            f"{root}: {count(len(copies), 'image')} left out, of the same scan and modality as another; the first: {copies[0]}"
        )
    if others:
        notes.append(
            f"{root}: {layout.title} is there in several versions; {version.name!r} is read, {', '.join(others)} left out"
        )
    people: dict[str, dict[str, str]] = {}
    for table in layout.people:
        told, missing = table.of(files)
        notes += missing
        for subject, known in told.items():
            people.setdefault(subject, {}).update(known)
    masks, rois = (
        _companions(images, _matches(layout, expression, root, files))
        for expression in (version.masks, version.rois)
    )
    rows = []
    for number, image in enumerate(images, start=1):
        subject, modality = image.said["subject"], image.said.get("modality", layout.modality)
        mask = masks.get(image.path, "") if modality in (layout.mask_fits or (modality,)) else ""
        values = {
            **dict.fromkeys(COLUMNS, ""),
            **image.said,
            **people.get(subject, {}),
            "path": image.path,
            "mask_path": mask,
            "mask_values": layout.mask_values if mask else "",
            "roi_path": rois.get(image.path, ""),
            "scan": layout.scan.format_map(image.said),
            "modality": modality,
            "source": layout.name,
            **({"version": version.name} if version.name else {}),
        }
        rows.append(Row(number, values))
    rows = _labelled(layout, root, rows)
    more = [name for row in rows for name in row.values if name not in COLUMNS]
    columns = (*COLUMNS, *dict.fromkeys(more))
    complete = [Row(row.number, {**dict.fromkeys(columns, ""), **row.values}) for row in rows]
    return Table(columns=columns, rows=complete, warnings=(_summary(layout, root, complete), *notes))


def _files(root: Path) -> list[Path]:
    try:
        if not root.is_dir():
            raise BadInput(f"--root {root}: no such folder; check the path")
        return dicom.files_below(root)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"--root {root}: the folder cannot be read ({reason(error)}); check its permissions"
        ) from error


def _version(
    layout: Layout, root: Path, files: Sequence[Path]
) -> tuple[Version | None, list[_File], list[str]]:
    """The first version that is there, its images, and the names of the others that are there."""
    there = [(version, _matches(layout, version.images, root, files)) for version in layout.versions]
    there = [(version, images) for version, images in there if images]
    if not there:
        return None, [], []
    return (*there[0], [version.name for version, _ in there[1:]])


def _matches(layout: Layout, expression: str, root: Path, files: Sequence[Path]) -> list[_File]:
    """The files that an expression describes; the root's own name may be part of what it describes."""
    above = root.resolve().name
    paths = [file.relative_to(root).as_posix() for file in files]
    found = ((path, layout.said(expression, f"{above}/{path}")) for path in paths)
    return [_File(path, said) for path, said in found if said is not None]


def _once(layout: Layout, images: Sequence[_File]) -> tuple[list[_File], list[str]]:
    """The images without further copies of the same scan and modality; the paths of those copies."""
    first: dict[tuple[str, str], _File] = {}
    copies = []
    for image in images:
        name = (layout.scan.format_map(image.said), image.said.get("modality", ""))
        if first.setdefault(name, image) is not image:
            copies.append(image.path)
    return list(first.values()), copies


def _companions(images: Sequence[_File], others: Sequence[_File]) -> dict[str, str]:
    """The paths of the masks that belong to images, by the images' paths: they agree in what both say."""
    if not images or not others:
        return {}
    names = [name for name in others[0].said if name in images[0].said]
    fitting: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for other in others:
        fitting[tuple(other.said[name] for name in names)].append(other.path)
    asked = {image.path: tuple(image.said[name] for name in names) for image in images}
    return {
        path: max(fitting[said], key=partial(_shared, path))
        for path, said in asked.items()
        if said in fitting
    }


def _shared(path: str, other: str) -> int:
    """How many folders two paths have in common from the root on."""
    pairs = zip(path.split("/"), other.split("/"), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _labelled(layout: Layout, root: Path, rows: Sequence[Row]) -> list[Row]:
    """The rows with label and pathology; channels of one scan share the label."""
    marks: dict[str, bool] = {}
    if layout.empty_is_healthy:
        for row in rows:
            mask = row.get("mask_path")
            if mask and not marks.get(row.get("scan")):
                # One that cannot be read may mark anything.
                marks[row.get("scan")] = has_marks(root / mask, mask_values(root, row)) is not False
    out = []
    for row in rows:
        # Nobody says of patients without a mask that they are healthy.
        label = layout.label if marks.get(row.get("scan"), True) else "healthy"
        pathology = layout.pathology if label == "anomalous" else "none"
        out.append(Row(row.number, {**row.values, "label": label, "pathology": pathology}))
    return out


def _summary(layout: Layout, root: Path, rows: Sequence[Row]) -> str:
    """What was found, in one line."""
    people = len({row.get("subject") for row in rows})
    modalities = Counter(row.get("modality") for row in rows)
    labels = Counter(row.get("label") for row in rows)
    masked = sum(bool(row.get("mask_path")) for row in rows)
    parts = [
        ", ".join(f"{number} {name}" for name, number in modalities.items()),
        ", ".join(f"{labels[name]} {name}" for name in ("healthy", "anomalous") if labels[name]),
        *([f"{masked} with a mask"] if layout.label == "anomalous" else []),
    ]
    return (
        f"{root}: read as {layout.title}: {count(len(rows), 'image')} of {count(people, 'subject')} "
        f"({'; '.join(parts)}); its terms are its providers' ({layout.access})"
    )
