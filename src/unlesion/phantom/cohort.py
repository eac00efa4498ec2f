"""Writing a virtual cohort: NIfTI files and a manifest."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.files import whole_folder, write_text
from unlesion.phantom.design import Role, standard_role
from unlesion.phantom.subject import make_subject
from unlesion.progress import Bars, silent, track

COLUMNS = ["path", "mask_path", "roi_path", "twin_path", "source", "subject", "scan", "position", "modality"]
COLUMNS += ["label", "pathology", "split", "site", "age", "sex", "spacing_mm"]

# Raised whenever the same seed would give other voxels; subjects of another generator are made anew.
GENERATOR = 2

# What one worker needs: number, folder, seed, modalities, spacing, role.
Job = tuple[int, Path, int, tuple[str, ...], float, Role]


def write_cohort(
    n: int,
    out: Path,
    *,
    seed: int = 0,
    modality: str | Sequence[str] = "FLAIR",
    spacing_mm: float = 2.0,
    design: Callable[[int], Role] = standard_role,
    executor: Executor | None = None,
    bars: Bars = silent,
) -> Path:
    """Write `n` virtual subjects and their manifest.

    Subject k is the same person with the same role in a cohort of any size. A subject's folder appears whole
    or not at all; complete ones with the same settings are kept, so a broken-off call can be repeated.

    Args:
        n: number of subjects, 1 or more.
        out: folder; subject k goes to `out/sub-000k/`.
        seed: which cohort.
        modality: one or more of T1, T2, FLAIR, PD; one manifest row each, on one grid.
        spacing_mm: voxel size: 1, 2 or 4.
        design: split and pathology by subject number, see `standard_role`.
        executor: where subjects are made; in this process if None.
        bars: how progress is shown.

    Returns:
        The path of `out/manifest.csv`.

    Raises:
        BadInput: a setting is unknown, or `out` cannot be written.
    """
    if n < 1:
        raise BadInput(f"a cohort of {n} subjects: ask for 1 or more")
    modalities = (modality,) if isinstance(modality, str) else tuple(modality)
    out = Path(out)
    jobs = [(number, out, seed, modalities, spacing_mm, design(number)) for number in range(n)]
    facts: dict[int, dict[str, Any]] = {}
    for number, fact in track(_work(jobs, executor), label="virtual subjects", total=n, bars=bars):
        facts[number] = fact
    rows = [row for number in range(n) for row in _rows(number, facts[number])]
    return _write_manifest(out / "manifest.csv", rows)


def _work(jobs: list[Job], executor: Executor | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Make all subjects, here or in the executor, yielding number and facts as they are done."""
    if executor is None:
        for job in jobs:
            yield job[0], _write_subject(*job)
        return
    futures = {executor.submit(_write_subject, *job): job[0] for job in jobs}
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        # After an error or Ctrl-C nothing new is begun.
        for future in futures:
            future.cancel()


def _write_subject(
    number: int, out: Path, seed: int, modalities: tuple[str, ...], spacing_mm: float, role: Role
) -> dict[str, Any]:
    """Make and write one subject unless it is there already; returns its `subject.json`."""
    folder = out / _name(number)
    settings = {
        "generator": GENERATOR,
        "seed": [seed, number],
        "modality": list(modalities),
        "spacing_mm": spacing_mm,
        "split": role.split,
        "pathology": role.pathology,
    }
    known = _complete(folder, settings)
    if known is not None:
        return known
    person = make_subject(
        (seed, number), pathology=role.pathology, modality=modalities, spacing_mm=spacing_mm, sites_seed=seed
    )
    facts = settings | {"age": person.age, "sex": person.sex, "site": person.site}
    with whole_folder(folder) as partial:
        _write_nifti(partial / "roi.nii.gz", person.roi.astype(np.uint8), person.affine)
        for name in modalities:
            _write_nifti(partial / f"{name}.nii.gz", person.images[name].astype(np.int16), person.affine)
            if role.pathology is not None:
                _write_nifti(
                    partial / f"{name}_twin.nii.gz", person.twins[name].astype(np.int16), person.affine
                )
        if role.pathology is not None:
            _write_nifti(partial / "mask.nii.gz", person.mask.astype(np.uint8), person.affine)
        (partial / "subject.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return facts


def _complete(folder: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """What `subject.json` says, if it was made with these settings and every file is there."""
    try:
        facts: dict[str, Any] = json.loads((folder / "subject.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(facts, dict) or any(facts.get(key) != value for key, value in settings.items()):
        return None
    names = ["roi", *settings["modality"]]
    if settings["pathology"] is not None:
        names += ["mask", *(f"{name}_twin" for name in settings["modality"])]
    return facts if all((folder / f"{name}.nii.gz").is_file() for name in names) else None


def _rows(number: int, facts: dict[str, Any]) -> list[dict[str, str]]:
    name = _name(number)
    sick = facts["pathology"] is not None
    return [
        {
            "path": f"{name}/{modality}.nii.gz",
            "mask_path": f"{name}/mask.nii.gz" if sick else "",
            "roi_path": f"{name}/roi.nii.gz",
            "twin_path": f"{name}/{modality}_twin.nii.gz" if sick else "",
            "source": "phantom",
            "subject": name,
            "scan": name,
            "position": "",
            "modality": modality,
            "label": "anomalous" if sick else "healthy",
            "pathology": facts["pathology"] or "none",
            "split": facts["split"],
            "site": facts["site"],
            "age": str(facts["age"]),
            "sex": facts["sex"],
            "spacing_mm": f"{facts['spacing_mm']:g}",
        }
        for modality in facts["modality"]
    ]


def _write_manifest(path: Path, rows: list[dict[str, str]]) -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
    return path


def _write_nifti(path: Path, array: NDArray[Any], affine: NDArray[np.float64]) -> None:
    """Write compressed NIfTI, lightly compressed: the time goes there otherwise."""
    import gzip

    import nibabel

    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    # No time stamp in the gzip header: the same seed gives the same bytes.
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0) as file,
    ):
        file.write(image.to_bytes())


def _name(number: int) -> str:
    return f"sub-{number:04d}"
