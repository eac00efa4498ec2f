"""Writing a virtual cohort: NIfTI files and a manifest."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from unlesion.errors import BadInput
from unlesion.files import whole_folder
from unlesion.parallel import as_they_come
from unlesion.phantom.design import Role, known_pathologies, standard_role
from unlesion.phantom.seeds import stream
from unlesion.phantom.subject import make_subject
from unlesion.phantom.writing import (
    GENERATOR,
    complete,
    manifest_row,
    subject_name,
    write_manifest,
    write_nifti,
)
from unlesion.progress import Bars, silent, track

T = TypeVar("T")


class Sizes(Protocol):
    """Volumes to choose from, such as `unlesion.phantom.implant.Sizes`."""

    def fits(self, pathology: str) -> bool:
        """Whether the pathology comes in any of these sizes."""
        ...

    def at(self, pathology: str, share: float) -> float:
        """The size (ml) at a share (0..1) of those that the pathology comes in."""
        ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one worker needs to make one subject."""

    number: int
    out: Path
    seed: int
    modalities: tuple[str, ...]
    spacing_mm: float
    role: Role


def write_cohort(
    n: int,
    out: Path,
    *,
    seed: int = 0,
    modality: str | Sequence[str] = "FLAIR",
    spacing_mm: float = 2.0,
    pathologies: Sequence[str] | None = None,
    sizes: Sizes | None = None,
    design: Callable[[int], Role] | None = None,
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
        pathologies: names of `PATHOLOGIES` for the sick to go round, or ("all",); if None the four that anybody
            sees on FLAIR.
        sizes: volumes of lesions; as is typical of each pathology if None.
        design: split, pathology and volume by subject number instead; see `standard_role`.
        executor: where subjects are made; in this process if None.
        bars: how progress is shown.

    Returns:
        The path of `out/manifest.csv`.

    Raises:
        BadInput: a setting is unknown, or `out` cannot be written.
    """
    modalities = (modality,) if isinstance(modality, str) else tuple(modality)
    out = Path(out)
    roles = cast_roles(n, seed=seed, pathologies=pathologies, sizes=sizes, design=design)
    jobs = [
        Job(number=number, out=out, seed=seed, modalities=modalities, spacing_mm=spacing_mm, role=role)
        for number, role in enumerate(roles)
    ]
    facts = run_jobs(_write_subject, jobs, executor=executor, bars=bars)
    rows = [row for number in range(n) for row in _rows(number, facts[number])]
    return write_manifest(out / "manifest.csv", rows)


def cast_roles(
    n: int,
    *,
    seed: int,
    pathologies: Sequence[str] | None = None,
    sizes: Sizes | None = None,
    design: Callable[[int], Role] | None = None,
) -> list[Role]:
    """Roles of `n` subjects, with the volumes of the lesions where `sizes` asks for them.

    Raises:
        BadInput: no subjects, an unknown pathology, or one that does not come in these sizes.
    """
    if n < 1:
        raise BadInput(f"a cohort of {n} subjects: ask for 1 or more")
    names = known_pathologies(pathologies)
    roles = [(design or partial(standard_role, pathologies=names))(number) for number in range(n)]
    if sizes is None:
        return roles
    misfits = [name for name in names if not sizes.fits(name)]
    if misfits:
        raise BadInput(f"{', '.join(misfits)}: does not come in the sizes asked for; leave it out")
    return [
        role
        if role.pathology is None or role.volume_ml is not None
        else replace(role, volume_ml=sizes.at(role.pathology, float(stream((seed, number), "size").random())))
        for number, role in enumerate(roles)
    ]


def run_jobs(
    work: Callable[[T], tuple[int, dict[str, Any]]],
    jobs: Sequence[T],
    *,
    executor: Executor | None,
    bars: Bars,
) -> dict[int, dict[str, Any]]:
    """Make all subjects, here or in the executor; facts by number."""
    done = as_they_come(work, jobs, executor=executor, doing="making virtual subjects")
    return dict(track(done, label="virtual subjects", total=len(jobs), bars=bars))


def _write_subject(job: Job) -> tuple[int, dict[str, Any]]:
    """Make and write one subject unless it is there already; returns number and `subject.json`."""
    folder, role = job.out / subject_name(job.number), job.role
    sick = role.pathology is not None
    settings = {
        "generator": GENERATOR,
        "seed": [job.seed, job.number],
        "modality": list(job.modalities),
        "spacing_mm": job.spacing_mm,
        "split": role.split,
        "pathology": role.pathology,
        "asked_ml": role.volume_ml,
    }
    names = ["roi", *job.modalities]
    names += ["mask", *(f"{name}_twin" for name in job.modalities)] if sick else []
    known = complete(folder, settings, names)
    if known is not None:
        return job.number, known
    person = make_subject(
        (job.seed, job.number),
        pathology=role.pathology,
        volume_ml=role.volume_ml,
        modality=job.modalities,
        spacing_mm=job.spacing_mm,
        sites_seed=job.seed,
    )
    facts = settings | {
        "size_ml": person.size_ml,
        "age": person.age,
        "sex": person.sex,
        "site": person.site,
    }
    with whole_folder(folder) as part:
        write_nifti(part / "roi.nii.gz", person.roi.astype(np.uint8), person.affine)
        for name in job.modalities:
            write_nifti(part / f"{name}.nii.gz", person.images[name].astype(np.int16), person.affine)
            if sick:
                write_nifti(part / f"{name}_twin.nii.gz", person.twins[name].astype(np.int16), person.affine)
        if sick:
            write_nifti(part / "mask.nii.gz", person.mask.astype(np.uint8), person.affine)
        (part / "subject.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return job.number, facts


def _rows(number: int, facts: dict[str, Any]) -> list[dict[str, str]]:
    name = subject_name(number)
    sick = facts["pathology"] is not None
    return [
        manifest_row(
            number,
            facts,
            path=f"{name}/{modality}.nii.gz",
            twin_path=f"{name}/{modality}_twin.nii.gz" if sick else "",
            scan=name,
            modality=modality,
            site=facts["site"],
        )
        for modality in facts["modality"]
    ]
