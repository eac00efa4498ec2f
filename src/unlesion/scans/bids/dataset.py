"""A BIDS dataset as rows of a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unlesion.errors import BadInput
from unlesion.scans.bids.files import (
    BidsFile,
    description_of,
    images_and_masks,
    is_bids,
    lacks_description,
    modality_of,
)
from unlesion.scans.bids.labels import Labels, labels_in
from unlesion.scans.bids.masks import brains_of, masks_of
from unlesion.scans.bids.people import PARTICIPANTS, People, read_people
from unlesion.scans.manifest import Row, Table
from unlesion.scans.reading import has_marks
from unlesion.wording import count

__all__ = ["PARTICIPANTS", "is_bids", "lacks_description", "table_of_bids"]

# Columns of ours; a column of the same name in a table of the dataset fills in where that makes sense.
_OWN = ("path", "mask_path", "roi_path", "subject", "scan", "session", "run", "modality")
_OTHER_NAMES = {"site": ("center", "centre", "site_id"), "sex": ("gender",), "age": ("age_at_scan",)}
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What is known about an image besides its name.

    `marked` if a mask marks a lesion in its session, `assumed` if nothing but the lack of one says that it is healthy.
    """

    mask: BidsFile | None
    marked: bool
    known: dict[str, str]
    label: str
    assumed: bool = False


def table_of_bids(root: Path) -> Table:
    """The images of a BIDS dataset with their lesion masks and what `participants.tsv` says.

    Subject is `sub-XX`; scan is subject, session and run, so that these join channels. An image is anomalous
    if a mask marks something on an image of its session, or if a column `label`, `pathology`, `diagnosis`, `dx`
    or `group` says so; what `label` says stands above masks.

    Raises:
        BadInput: no image, or a table that cannot be used.
    """
    description = description_of(root)
    images, masks, brains = images_and_masks(root)
    if not images:
        raise BadInput(
            f"{root}: a BIDS dataset without anatomical images (such as sub-01/anat/sub-01_T1w.nii.gz); check it"
        )
    subjects = list(dict.fromkeys(image.subject for image in images))
    people = read_people(root, subjects)
    warnings = _missing(root, people, subjects)
    found = masks_of(root, images, masks)
    matched = {mask.path for group in found.values() for mask in group}
    lost = [mask.path for mask in masks if mask.path not in matched]
    if lost:
        warnings.append(f"{root}: masks that belong to no image, by name or space: {_listed(lost)}")
    double = [path for path, group in found.items() if len(group) > 1]
    if double:
        taken = found[double[0]][0].path
        warnings.append(
            f"{root}: {len(double)} images have several lesion masks, the first by name is used "
            f"({taken} for {double[0]}); a manifest can say otherwise"
        )
    labels = _labels(people)
    # One that cannot be read may mark anything.
    marked = {mask.path: has_marks(root / mask.path) is not False for mask in masks if mask.path in matched}
    # A lesion drawn on one image of a session is in the head, and so in every other image of it.
    ill = {
        (image.subject, image.get("ses"))
        for image in images
        for mask in found.get(image.path, [])[:1]
        if marked[mask.path]
    }
    facts = [_facts(image, people, labels, found.get(image.path, []), ill) for image in images]
    facts, unsure = _unlabelled(images, facts, ill)
    warnings += unsure
    told = bool(labels.column) or bool(marked)
    kept = [(image, fact) for image, fact in zip(images, facts, strict=True) if fact.label or not told]
    warnings += _label_notes(root, images, facts, labels, told=told)
    if not kept:
        raise BadInput(
            f"{root / PARTICIPANTS}: column {labels.column!r} is empty for every image; fill it in, or remove it"
        )
    extra = tuple(name for name in people.columns if name not in _OWN)
    entities = sorted({name for image in images for name in image.entities} - {"ses", "run"} - set(extra))
    standard = ("pathology", "split", "source", "site", "age", "sex")
    columns = (*(name for name in _OWN if name != "roi_path"), *(("label",) if told else ()), *standard)
    columns += tuple(name for name in (*extra, *entities) if name not in columns)
    rois = brains_of(root, images, brains)
    if brains:
        columns += ("roi_path",)
        words = f"brain masks of {len(rois)} of {count(len(images), 'image')} found and used as the region of interest"
        warnings.append(
            f"{root}: {words}; the brains of the others are estimated"
            if len(rois) < len(images)
            else f"{root}: {words}"
        )
    source = str(description.get("Name") or "").strip()
    rows = []
    for image, fact in kept:
        values = dict.fromkeys(columns, "")
        values.update({name: value for name, value in fact.known.items() if name not in _OWN})
        values.update({name: image.get(name) for name in entities})
        values.update(_standard(image, fact, labels, source))
        if told:
            values["label"] = fact.label
        if image.path in rois:
            values["roi_path"] = rois[image.path].path
        rows.append(Row(people.rows.get(image.subject, 0), values))
    return Table(columns=columns, rows=rows, warnings=tuple(warnings))


def _facts(
    image: BidsFile, people: People, labels: Labels, masks: list[BidsFile], ill: set[tuple[str, str]]
) -> _Facts:
    known = people.of(image.subject, image.get("ses"))
    mask = masks[0] if masks else None
    has_lesion = (image.subject, image.get("ses")) in ill
    label = labels.of(known.get(labels.column, "")) if labels.column else "healthy"
    if has_lesion and (label == "" or (label == "healthy" and labels.column != "label")):
        label = "anomalous"
    elif mask is not None and label == "":
        label = "healthy"
    return _Facts(mask=mask, marked=has_lesion, known=known, label=label, assumed=not labels.column)


def _unlabelled(
    images: Sequence[BidsFile], facts: Sequence[_Facts], ill: set[tuple[str, str]]
) -> tuple[list[_Facts], list[str]]:
    """Takes the label off sessions without a mask of subjects who have a lesion in another session.

    Without a column that says so nobody knows that they are healthy, such as after an operation.
    """
    subjects = {subject for subject, _ in ill}
    out, names = [], []
    for image, fact in zip(images, facts, strict=True):
        mine = image.subject in subjects and (image.subject, image.get("ses")) not in ill
        if mine and fact.mask is None and fact.assumed:
            names.append(image.path)
            fact = replace(fact, label="")
        out.append(fact)
    if not names:
        return out, []
    return out, [
        f"{len(names)} images without a lesion mask are of subjects with a lesion in another session; left out, because nobody says "
        f"that they are healthy; a column 'label' can: {_listed(names)}"
    ]


def _standard(image: BidsFile, fact: _Facts, labels: Labels, source: str) -> dict[str, str]:
    session, run = image.get("ses"), image.get("run")
    parts = [image.subject, f"ses-{session}" if session else "", f"run-{run}" if run else ""]
    values = {
        "path": image.path,
        "mask_path": "" if fact.mask is None else fact.mask.path,
        "subject": image.subject,
        "scan": "_".join(filter(None, parts)),
        "session": session,
        "run": run,
        "modality": modality_of(image),
        "source": fact.known.get("source", "") or source,
    }
    for name, others in _OTHER_NAMES.items():
        values[name] = next(filter(None, (fact.known.get(one, "") for one in (name, *others))), "")
    said = fact.known.get(labels.column, "") if labels.column != "label" else ""
    finding = said if labels.of(said) == "anomalous" else ""
    if fact.label == "healthy":
        finding = "none"
    values["pathology"] = fact.known.get("pathology", "") or finding
    return values


def _labels(people: People) -> Labels:
    rows = [*people.values.values(), *people.sessions.values()]
    values = {name: {row[name] for row in rows if row.get(name)} for name in people.columns}
    return labels_in(people.columns, values)


def _missing(root: Path, people: People, subjects: Sequence[str]) -> list[str]:
    if not people.values:
        return [f"{root}: no {PARTICIPANTS}, so age, sex, site and who is ill are unknown"]
    unlisted = [subject for subject in subjects if subject not in people.values]
    if not unlisted:
        return []
    return [f"{root / PARTICIPANTS}: does not list {_listed(unlisted)}; their age, sex and site are unknown"]


def _label_notes(
    root: Path, images: Sequence[BidsFile], facts: Sequence[_Facts], labels: Labels, *, told: bool
) -> list[str]:
    """How labels were come by, so that nobody learns from the ill without knowing."""
    notes = []
    both = list(zip(images, facts, strict=True))
    if labels.ignored:
        notes.append(
            f"{root / PARTICIPANTS}: the values of column {labels.ignored!r} do not say who is healthy; if anybody "
            "is ill, add a column 'label' with healthy or anomalous"
        )
    if told and labels.column != "label":
        counts = {name: sum(fact.label == name for fact in facts) for name in ("healthy", "anomalous")}
        origin = f"column {labels.column!r} and lesion masks" if labels.column else "lesion masks"
        notes.append(
            f"{root}: labels taken from {origin}: {counts['healthy']} images healthy, {counts['anomalous']} "
            f"anomalous; a column 'label' in {PARTICIPANTS} can say otherwise"
        )
    unknown = [image.subject for image, fact in both if not fact.label]
    if told and unknown and labels.column:
        who = _listed(list(dict.fromkeys(unknown)))
        notes.append(
            f"{root / PARTICIPANTS}: column {labels.column!r} is empty for {who}; left out, because it is not "
            "known whether they are healthy"
        )
    if labels.column:
        odd = [
            image.subject
            for image, fact in both
            if fact.marked and labels.of(fact.known.get(labels.column, "")) == "healthy"
        ]
        if odd:
            who = _listed(list(dict.fromkeys(odd)))
            notes.append(
                f"{root}: healthy by column {labels.column!r} but with a lesion mask, so "
                f"{'please check' if labels.column == 'label' else 'taken as anomalous'}: {who}"
            )
    return notes


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
