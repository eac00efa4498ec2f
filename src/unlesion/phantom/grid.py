"""The same people in every contrast of every scanner: for studies of generalisation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unlesion.errors import BadInput
from unlesion.files import whole_folder
from unlesion.phantom.cohort import Sizes, cast_roles, run_jobs
from unlesion.phantom.contrast import MODALITIES
from unlesion.phantom.design import Role
from unlesion.phantom.person import draw_person
from unlesion.phantom.scanner import SCANNERS, fixed_scanner
from unlesion.phantom.subject import check_settings
from unlesion.phantom.writing import (
    GENERATOR,
    complete,
    manifest_row,
    subject_name,
    write_manifest,
    write_nifti,
)
from unlesion.progress import Bars, silent


@dataclass(frozen=True, kw_only=True)
class GridJob:
    """What one worker needs to scan one subject on all scanners."""

    number: int
    out: Path
    seed: int
    modalities: tuple[str, ...]
    scanners: tuple[str, ...]
    spacing_mm: float
    role: Role


def write_grid(
    n: int,
    out: Path,
    *,
    seed: int = 0,
    modality: str | Sequence[str] = MODALITIES,
    scanners: Sequence[str] = SCANNERS,
    spacing_mm: float = 2.0,
    pathologies: Sequence[str] | None = None,
    sizes: Sizes | None = None,
    executor: Executor | None = None,
    bars: Bars = silent,
) -> Path:
    """Write `n` virtual subjects, each scanned in every modality on every scanner.

    Anatomy, lesion, mask and grid of a subject are one; contrast, noise, receive field, resolution and artefacts
    are the scanner's. The manifest has a row per image, `site` is the scanner, `scan` is one subject on one
    scanner (so that modalities can be channels), splits are by subject. Motion and ringing spread a lesion's
    signal over the slice: there image and twin differ a little everywhere.

    Args:
        n: number of subjects, 1 or more.
        out: folder; subject k goes to `out/sub-000k/`.
        seed: which cohort; subject k is the person that `write_cohort` makes of that seed.
        modality: one or more of T1, T2, FLAIR, PD.
        scanners: one or more of `SCANNERS`.
        spacing_mm: voxel size: 1, 2 or 4.
        pathologies: see `write_cohort`.
        sizes: see `write_cohort`.
        executor: where subjects are made; in this process if None.
        bars: how progress is shown.

    Returns:
        The path of `out/manifest.csv`.

    Raises:
        BadInput: a setting is unknown, or `out` cannot be written.
    """
    modalities = (modality,) if isinstance(modality, str) else tuple(modality)
    check_settings(None, modalities, spacing_mm)
    unknown = [name for name in scanners if name not in SCANNERS]
    if unknown or not scanners:
        raise BadInput(f"scanner {', '.join(unknown) or '(none)'}: choose from {', '.join(SCANNERS)}")
    out = Path(out)
    jobs = [
        GridJob(
            number=number,
            out=out,
            seed=seed,
            modalities=modalities,
            scanners=tuple(scanners),
            spacing_mm=spacing_mm,
            role=role,
        )
        for number, role in enumerate(cast_roles(n, seed=seed, pathologies=pathologies, sizes=sizes))
    ]
    facts = run_jobs(_write_subject, jobs, executor=executor, bars=bars)
    rows = [row for number in range(n) for row in _rows(number, facts[number])]
    return write_manifest(out / "manifest.csv", rows)


def _write_subject(job: GridJob) -> tuple[int, dict[str, Any]]:
    folder, role = job.out / subject_name(job.number), job.role
    sick = role.pathology is not None
    images = [f"{scanner}_{name}" for scanner in job.scanners for name in job.modalities]
    settings = {
        "generator": GENERATOR,
        "seed": [job.seed, job.number],
        "modality": list(job.modalities),
        "scanners": list(job.scanners),
        "spacing_mm": job.spacing_mm,
        "split": role.split,
        "pathology": role.pathology,
        "asked_ml": role.volume_ml,
    }
    names = ["roi", *images, *(["mask", *(f"{name}_twin" for name in images)] if sick else [])]
    known = complete(folder, settings, names)
    if known is not None:
        return job.number, known
    person = draw_person(
        (job.seed, job.number),
        pathology=role.pathology,
        volume_ml=role.volume_ml,
        spacing_mm=job.spacing_mm,
    )
    mask, affine = person.mask(), person.anatomy.space.affine
    size = float(np.count_nonzero(mask) * job.spacing_mm**3 / 1000)
    facts = settings | {"size_ml": size, "age": person.age, "sex": person.sex}
    with whole_folder(folder) as part:
        write_nifti(part / "roi.nii.gz", person.anatomy.brain.astype(np.uint8), affine)
        if sick:
            write_nifti(part / "mask.nii.gz", mask.astype(np.uint8), affine)
        for scanner in job.scanners:
            for name in job.modalities:
                image, twin = person.scan(name, fixed_scanner(scanner, name), name, scanner)
                write_nifti(part / f"{scanner}_{name}.nii.gz", image.astype(np.int16), affine)
                if sick:
                    write_nifti(part / f"{scanner}_{name}_twin.nii.gz", twin.astype(np.int16), affine)
        (part / "subject.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return job.number, facts


def _rows(number: int, facts: dict[str, Any]) -> list[dict[str, str]]:
    name = subject_name(number)
    sick = facts["pathology"] is not None
    return [
        manifest_row(
            number,
            facts,
            path=f"{name}/{scanner}_{modality}.nii.gz",
            twin_path=f"{name}/{scanner}_{modality}_twin.nii.gz" if sick else "",
            scan=f"{name}_{scanner}",
            modality=modality,
            site=scanner,
        )
        for scanner in facts["scanners"]
        for modality in facts["modality"]
    ]
