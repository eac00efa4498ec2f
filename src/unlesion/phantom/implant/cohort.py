"""A cohort with implanted lesions: the healthy scans as they are, and their copies with lesions."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unlesion.errors import BadInput, UnlesionError
from unlesion.files import write_json, write_table
from unlesion.parallel import as_they_come
from unlesion.phantom.design import known_pathologies
from unlesion.phantom.implant.anatomy import RealAnatomy, anatomy_of
from unlesion.phantom.implant.files import check_family, link_or_copy, write_mask, write_scan
from unlesion.phantom.implant.make import make_implant
from unlesion.phantom.implant.plan import Implant, Sizes, plan_implants
from unlesion.prepare import Failure
from unlesion.progress import Bars, silent, track
from unlesion.scans import Cohort, Entry, Scan
from unlesion.wording import count

# Raised whenever the same seed would give other voxels; implants of another generator are made anew.
GENERATOR = 2

COLUMNS = ["path", "mask_path", "roi_path", "twin_path", "source", "subject", "scan", "position", "modality"]
COLUMNS += ["label", "pathology", "split", "size_ml", "size_mm2", "asked_ml", "contrast", "strength"]
COLUMNS += ["original", "assumed_mm"]
SPLITS = ("test", "val")

# What one worker needs: scan, its lesions, folder.
Job = tuple[Entry, tuple[Implant, ...], Path]


@dataclass(frozen=True, kw_only=True)
class Implants:
    """What became of a cohort.

    Attributes:
        manifest: of the new cohort.
        healthy: originals in it.
        implanted: scans with a lesion in it.
        failures: lesions, or whole scans, that could not be made.
        warnings: doubts about scans, in words.
    """

    manifest: Path
    healthy: int
    implanted: int
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...] = ()


def write_implants(
    cohort: Cohort,
    out: Path,
    *,
    seed: int = 0,
    pathologies: Sequence[str] = ("all",),
    sizes: Sizes | None = None,
    per_scan: int | None = None,
    executor: Executor | None = None,
    bars: Bars = silent,
) -> Implants:
    """Implant lesions into the healthy test and val scans of a cohort.

    The new cohort holds all healthy scans of the old one (hard links below `out/healthy`, copies where the
    file system has none) and, for test and val, scans with one lesion each, whose twin is the original. Anomalous
    scans of the old cohort are left out. What is done already is kept, so a broken-off call can be repeated.

    Args:
        cohort: with healthy scans in split test; one without any splits is split 60 / 20 / 20 by subject.
        out: folder to write.
        seed: which lesions.
        pathologies: names of `PATHOLOGIES`, or ("all",).
        sizes: volumes in ml; all if None.
        per_scan: lesions (one a copy) for each scan; for volumes each pathology once, for slices 1 if None.
        executor: where the work is done; in this process if None.
        bars: how progress is shown.

    Raises:
        BadInput: no healthy test scan, an unknown pathology, or `out` cannot be written.
    """
    out = Path(out)
    names = known_pathologies(pathologies)
    healthy = cohort.select(label="healthy")
    warnings: dict[str, None] = {}
    if not any(entry.split for entry in cohort):
        healthy = healthy.with_splits(test=True)
        words = f"{cohort.name}: no column split, so subjects are split 60 / 20 / 20 into train, val and test"
        warnings[words] = None
    _check(cohort, healthy, out)
    targets = [entry for split in SPLITS for entry in healthy if entry.split == split]
    plan = plan_implants(targets, seed=seed, pathologies=names, sizes=sizes or Sizes(), per_scan=per_scan)
    rows, failures = [], []
    for entry in healthy:
        try:
            rows.append(_original_row(entry, cohort.root, out))
        except BadInput as error:
            failures.append(Failure(key=entry.key, message=str(error)))
    if not rows:
        raise BadInput(
            f"{cohort.name}: none of {count(len(failures), 'scan')} can be used; the first: {failures[0].message}"
        )
    there = {row["original"] for row in rows}
    jobs: list[Job] = [
        (entry, tuple(plan[entry.key]), out) for entry in targets if entry.key in plan and entry.key in there
    ]
    bases = {row["original"]: row for row in rows}
    made: dict[str, dict[str, str]] = {}
    done = as_they_come(_implant_scan, jobs, executor=executor, doing="implanting")
    for facts, problems, doubts in track(done, label="implants", total=len(jobs), bars=bars):
        failures += problems
        warnings |= dict.fromkeys(doubts)
        for fact in facts:
            made[fact["key"]] = _implanted_row(bases[fact["original"]], fact)
    ordered = [one.key for entry, implants, _ in jobs for one in implants]
    implanted = [made[key] for key in ordered if key in made]
    extra = list(dict.fromkeys(name for row in rows for name in row if name not in COLUMNS))
    manifest = out / "manifest.csv"
    write_table(manifest, [*COLUMNS, *extra], [*rows, *implanted])
    return Implants(
        manifest=manifest,
        healthy=len(rows),
        implanted=len(implanted),
        failures=tuple(failures),
        warnings=tuple(warnings),
    )


def _check(cohort: Cohort, healthy: Cohort, out: Path) -> None:
    if not any(entry.split == "test" for entry in healthy):
        found = ", ".join(sorted({f"{e.label} {e.split or 'without split'}" for e in cohort})) or "none"
        raise BadInput(
            f"{cohort.name}: no healthy test scans to implant into (there are: {found}); give a manifest whose "
            "column 'split' says 'test' for some healthy subjects"
        )
    if out.resolve() == cohort.root.resolve():
        raise BadInput(f"{out}: the folder of the cohort itself; write to another --out")
    if any(type(entry) is not Entry for entry in healthy):
        raise BadInput(f"{cohort.name}: no plain image files; implant into the manifest of the raw scans")
    if any(len(entry.paths) > 1 for entry in healthy):
        raise BadInput(
            f"{cohort.name}: several channels; implants go into one at a time, leave out --channels"
        )


def _implant_scan(job: Job) -> tuple[list[dict[str, str]], list[Failure], list[str]]:
    """All lesions of one scan: what is known of each, what failed, doubts."""
    entry, implants, out = job
    facts: list[dict[str, str]] = []
    failures: list[Failure] = []
    scan: Scan | None = None
    real: RealAnatomy | None = None
    for implant in implants:
        mark = _mark(entry, implant)
        known = _complete(out, implant.key, mark)
        if known is not None:
            facts.append(known)
            continue
        try:
            if scan is None or real is None:
                scan = entry.read()
                check_family(entry.key, scan.grid)
                real = anatomy_of(scan, age=_age(entry))
            facts.append(_implant(entry, implant, out, scan, real, mark))
        except Exception as error:  # One scan must not cost all the others.
            ours = not isinstance(error, UnlesionError)
            where = "" if not ours else f" ({traceback.format_exc(limit=-1).splitlines()[-2].strip()})"
            message = f"{implant.key}: a failure of ours: {error!r}{where}" if ours else str(error)
            failures.append(Failure(key=implant.key, message=message, ours=ours))
            if real is None:
                # What is wrong with the scan is wrong for all its lesions; it is said once.
                break
    doubts = [f"{entry.key}: {warning}" for warning in (() if real is None else real.warnings)]
    return facts, failures, doubts


def _implant(
    entry: Entry, implant: Implant, out: Path, scan: Scan, real: RealAnatomy, mark: dict[str, Any]
) -> dict[str, str]:
    done = make_implant(real, implant)
    stem = out / implant.key
    image = real.canonical(done.blended.image)
    mask = real.canonical(done.blended.mask)
    path = write_scan(stem, image, scan.grid, entry.paths[0])
    mask_path = write_mask(stem.with_name(f"{stem.name}_mask"), mask, scan.grid)
    facts = {
        "key": implant.key,
        "original": entry.key,
        "path": path.relative_to(out).as_posix(),
        "mask_path": mask_path.relative_to(out).as_posix(),
        "pathology": implant.pathology,
        "size_ml": f"{done.size_ml:.4g}",
        "size_mm2": "" if done.size_mm2 is None else f"{done.size_mm2:.4g}",
        "asked_ml": f"{implant.volume_ml:g}",
        "contrast": f"{done.blended.contrast:.3f}",
        "strength": f"{implant.strength:g}",
        "assumed_mm": "" if real.assumed_mm is None else f"{real.assumed_mm:.4g}",
    }
    write_json(_record(out, implant.key), {"mark": mark, "facts": facts})
    return facts


def _complete(out: Path, key: str, mark: dict[str, Any]) -> dict[str, str] | None:
    """What is known of an implant, if it was made with the same settings and its files are there."""
    try:
        record = json.loads(_record(out, key).read_text(encoding="utf-8"))
        facts: dict[str, str] = record["facts"]
        same = (
            record["mark"] == mark
            and (out / facts["path"]).is_file()
            and (out / facts["mask_path"]).is_file()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return facts if same else None


def _record(out: Path, key: str) -> Path:
    return out / "records" / f"{key}.json"


def _mark(entry: Entry, implant: Implant) -> dict[str, Any]:
    """All that decides the voxels of an implant."""
    files = [
        [path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in entry.files if path.exists()
    ]
    told: dict[str, Any] = {"spacing_mm": list(entry.spacing_mm or ()), "volume": entry.volume}
    told |= {"modality": list(entry.modality), "age": _age(entry)}
    return {"generator": GENERATOR, "original": entry.key, "files": files, **told, **asdict(implant)}


def _original_row(entry: Entry, root: Path, out: Path) -> dict[str, str]:
    """The row of a healthy original; its files are put below `out`."""
    row = dict.fromkeys(COLUMNS, "") | dict(entry.columns)
    row |= {
        "path": _put(entry.paths[0], root, out),
        "mask_path": "",
        "roi_path": "" if entry.roi_path is None else _put(entry.roi_path, root, out),
        "twin_path": "",
        "subject": entry.subject,
        "scan": entry.scan_id,
        "position": "" if entry.position is None else f"{entry.position:.3f}",
        "modality": entry.modality[0],
        "label": "healthy",
        "pathology": "none",
        "split": entry.split or "",
        "original": entry.key,
    }
    # Of the original's mask; in an implant's own all above 0 is lesion.
    row.pop("mask_values", None)
    if entry.spacing_mm is not None:
        row["spacing_mm"] = ",".join(f"{size:g}" for size in entry.spacing_mm)
    return row


def _implanted_row(base: dict[str, str], facts: dict[str, str]) -> dict[str, str]:
    known = {name: value for name, value in facts.items() if name != "key"}
    # An examination of its own: joined with its healthy original, both would count as one sick scan.
    return base | known | {"scan": facts["key"], "twin_path": base["path"], "label": "anomalous"}


def _put(path: Path, root: Path, out: Path) -> str:
    if path.is_dir():
        raise BadInput(f"{path}: a folder; implants need NIfTI, PNG or NumPy files, convert the series first")
    relative = Path("healthy") / os.path.relpath(path, root)
    link_or_copy(path, out / relative)
    return relative.as_posix()


def _age(entry: Entry) -> int:
    """Years from the column `age`, the middle of life where it says nothing."""
    try:
        return int(float(entry.columns.get("age", "")))
    except ValueError:
        return 50
