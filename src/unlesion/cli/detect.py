"""`unlesion detect`: maps, lesions and scores for scans."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import (
    Channels,
    Device,
    Jobs,
    NoSet,
    Out,
    Quiet,
    Root,
    Volume,
    Where,
    open_cohort,
    pick_device,
    refuse_settings,
    split_words,
    workers,
)
from unlesion.errors import BadInput, UnlesionError
from unlesion.files import read_json, write_table
from unlesion.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from unlesion.calibration import Calibration
    from unlesion.detection import Detection
    from unlesion.scans import Entry, Scan

RATES = {0.001: "fpr_0001", 0.005: "fpr_0005", 0.01: "fpr_001", 0.05: "fpr_005"}

COLUMNS = (
    "key", "subject", "scan", "label", "score", "p_value", "flagged", "alpha",
    "threshold", "rate", "volume_ml", "area_mm2", "components", "warnings", "problem",
)  # fmt: skip


def command(
    run: Annotated[Path, typer.Argument(help="A run of `unlesion train` or `calibrate`.")],
    scans: Annotated[
        list[Path], typer.Argument(help="Images, folders (DICOM, BIDS too), manifests or prepared stores.")
    ],
    out: Out,
    alpha: Annotated[
        float | None,
        typer.Option("--alpha", help="Share of healthy scans that may be flagged; 0.05 where supported."),
    ] = None,
    rate: Annotated[
        float,
        typer.Option("--rate", help="Healthy voxels above the lesion threshold: 0.001, 0.005, 0.01 or 0.05."),
    ] = 0.01,
    root: Root = None,
    where: Where = None,
    channels: Channels = None,
    volume: Volume = None,
    rate_map: Annotated[
        bool,
        typer.Option(
            "--rate-map", help="Also rate_map: the share of healthy voxels as high, voxel by voxel."
        ),
    ] = False,
    dicom_seg: Annotated[
        bool,
        typer.Option(
            "--dicom-seg", help="For DICOM series also lesions.dcm, a DICOM SEG; it names the patient."
        ),
    ] = False,
    set_: NoSet = None,
    device: Device = "auto",
    jobs: Jobs = 0,
    quiet: Quiet = False,
) -> None:
    """Detect what is unusual, in the geometry of every scan; a second call skips what is done."""
    from unlesion.detection import write_detection
    from unlesion.detector import Detector
    from unlesion.prepare import on_prepared_grid
    from unlesion.prepare.item import fingerprint
    from unlesion.sweep import Failures, sweep

    refuse_settings(set_, verb="detect")
    if rate not in RATES:
        raise BadInput(f"--rate {rate}: choose one of {', '.join(map(str, RATES))}")
    if alpha is not None and not 0 < alpha < 1:
        raise BadInput(f"--alpha {alpha}: give a number between 0 and 1")
    detector = Detector.load(run)
    detector.check_order(split_words(channels), what="--channels")
    calibration = detector.calibrations.get("native")
    if alpha is not None and calibration is None:
        raise BadInput(
            f"--alpha {alpha:g}: {run} is not calibrated; use `unlesion calibrate` first, or leave it out"
        )
    if alpha is not None and calibration is not None:
        calibration.check_alpha(alpha)
    if rate_map and (calibration is None or not calibration.exceeded):
        why = "is not calibrated" if calibration is None else "was calibrated by an older version"
        raise BadInput(f"--rate-map: {run} {why}; use `unlesion calibrate` first")
    cohorts = [
        open_cohort(source, root=root, where=where, channels=channels, volume=volume) for source in scans
    ]
    # What an earlier call wrote into a folder of scans is no scan.
    entries = [entry for cohort in cohorts for entry in cohort if not _is_result(entry)]
    keys = [entry.key for entry in entries]
    twice = {key for key in keys if keys.count(key) > 1} if len(cohorts) > 1 else set()
    if twice:
        raise BadInput(f"{sorted(twice)[0]}: given twice; detect the folders into different --out")
    console = Console(quiet=quiet, out=out)
    for cohort in cohorts:
        for warning in cohort.warnings:
            console.warn(warning)
    if words := on_prepared_grid(entries):
        console.warn(words)
    # What is done is recognised by the content of run and scan and by the options, not by paths.
    whole = _digest_of(run)
    marks = {
        entry.key: hashlib.sha256(
            f"{whole} {fingerprint(entry, detector.recipe)} {alpha} {rate}{' dicom-seg' * dicom_seg}{' rate-map' * rate_map}".encode()
        ).hexdigest()[:16]
        for entry in entries
    }
    todo = [entry for entry in entries if not _done(out / entry.key, marks[entry.key])]
    if len(todo) < len(entries):
        console.tell(f"{len(entries) - len(todo)} of {count(len(entries), 'scan')} done already")
    if dicom_seg and (plain := sum(not entry.is_dicom for entry in entries)):
        console.warn(f"--dicom-seg: {plain} of {count(len(entries), 'scan')} are no DICOM and get none")
    failures = Failures(console.warn)
    where_to_run = pick_device(device)
    single = 0
    # A process takes longer to start than a scan or two take to read.
    try:
        with workers(jobs if len(todo) > 2 else 1) as executor, console.bars("detect", len(todo)) as advance:
            for swept in sweep(todo, detector.recipe, executor=executor):
                key = swept.entry.key
                if swept.scan is None or swept.prepared is None:
                    failures.take(swept)
                else:
                    single += swept.scan.grid.volumes == 1
                    with failures.guard(key):
                        found = detector.detect(
                            swept.scan,
                            prepared=swept.prepared,
                            alpha=alpha,
                            rate=RATES[rate],
                            device=where_to_run,
                        )

                        own = None if calibration is None else calibration.of(swept.scan.modality)
                        drawn = None if own is None else own.drawn_at(rate)
                        also = partial(
                            _write_more,
                            entry=swept.entry,
                            scan=swept.scan,
                            found=found,
                            calibration=own,
                            rate_map=rate_map,
                            seg_by=detector.method.name if dicom_seg else "",
                            mark=marks[key],
                            warn=console.warn,
                        )

                        write_detection(
                            found,
                            swept.scan,
                            out / key,
                            run=str(run),
                            recipe=detector.recipe.digest,
                            scale=None if drawn is None else 2.0 * drawn[0],
                            mark=marks[key],
                            also=also,
                        )
                if key in failures.messages:
                    _remove_other(out / key, run)
                advance(note=key)
    except UnlesionError:
        # A worker died: what is done is worth a table; the same command again does the rest.
        problems = failures.messages
        met = [e for e in entries if e.key in problems or _done(out / e.key, marks[e.key])]
        _write_scores(out, met, problems)
        raise
    if volume and single:
        console.warn(
            f"--volume {volume}: {single} of {len(todo)} scans hold a single volume, which was taken instead"
        )
    problems = failures.messages
    _write_scores(out, entries, problems)
    from unlesion.report import build_report

    page = build_report(out)
    console.tell(f"{out / 'scores.csv'}: {count(len(entries) - len(problems), 'scan')}; look at {page}")
    others = f"; the others are in {out}" if len(problems) < len(entries) else ""
    failures.settle(
        f"{len(problems)} of {count(len(entries), 'scan')} could not be used (named above){others}"
    )


def _write_more(
    folder: Path,
    *,
    entry: Entry,
    scan: Scan,
    found: Detection,
    calibration: Calibration | None,
    rate_map: bool,
    seg_by: str,
    mark: str,
    warn: Callable[[str], None],
) -> tuple[str, ...]:
    """The preview; a map of rates, if asked for; and of a DICOM series a DICOM SEG, if a method's name is given for it. Why it has none, if so."""
    import numpy as np

    from unlesion.report import write_preview
    from unlesion.scans import write_float

    write_preview(folder / "preview.png", scan, found, calibration=calibration)
    if rate_map and calibration is not None:
        # What lies outside the region is not looked at, and no healthy scan says anything about it.
        rates = np.where(found.roi, calibration.rate_map(found.anomaly), np.float32(1))
        write_float(folder / "rate_map", rates, scan.grid)
    if not seg_by or not entry.is_dicom:
        return ()
    from unlesion import __version__
    from unlesion.scans.formats.dicom import write_segmentation

    try:
        write_segmentation(
            folder / "lesions.dcm",
            found.lesions,
            scan.grid,
            source=entry.paths[0],
            files=entry.series[0] if entry.series else (),
            volume=entry.volume,
            algorithm=f"unlesion {seg_by}",
            version=__version__,
            mark=mark,
        )
    except BadInput as error:
        # Maps and masks are there all the same.
        warn(str(error))
        return (str(error),)
    return ()


def _is_result(entry: Entry) -> bool:
    return any((path.parent / "detection.json").exists() for path in entry.paths)


def _digest_of(run: Path) -> str:
    """Changes with anything that detection uses of a run."""
    digest = hashlib.sha256((run / "detector.json").read_bytes())
    with (run / "weights.safetensors").open("rb") as stream:
        digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _remove_other(folder: Path, run: Path) -> None:
    """Remove what another run found in a scan that this one could not do: it would be taken for this one's."""
    try:
        found = read_json(folder / "detection.json")
    except BadInput:
        return
    if not isinstance(found, dict) or found.get("run") in (None, str(run)):
        # Of this run with other options: it stays.
        return
    # Results of other scans may lie in folders below.
    for name in (*found.get("files", ()), "preview.png", "detection.json"):
        (folder / str(name)).unlink(missing_ok=True)


def _done(folder: Path, mark: str) -> bool:
    if not (folder / "detection.json").exists():
        return False
    try:
        found = read_json(folder / "detection.json")
        return found.get("mark") == mark and all((folder / name).exists() for name in found.get("files", ()))
    except BadInput:
        return False


def _write_scores(out: Path, entries: list[Entry], problems: dict[str, str]) -> None:
    """Write `scores.csv`; rows of earlier calls stay as long as their results do."""
    new = {entry.key for entry in entries}
    earlier = [row for row in _rows_in(out) if row["key"] not in new and (out / row["key"]).is_dir()]
    rows: list[dict[str, Any]] = [*earlier]
    for entry in entries:
        row: dict[str, Any] = {"key": entry.key, "subject": entry.subject, "scan": entry.scan_id}
        row["label"] = entry.columns.get("label", "")
        if entry.key in problems:
            row["problem"] = problems[entry.key]
        else:
            found = read_json(out / entry.key / "detection.json")
            row.update({k: v for k, v in found.items() if k in COLUMNS})
            row["warnings"] = "; ".join(found["warnings"])
        rows.append(row)
    # Rows of earlier versions may have other columns.
    write_table(out / "scores.csv", COLUMNS, rows, ignore_others=True)


def _rows_in(out: Path) -> list[dict[str, str]]:
    from unlesion.report.files import read_rows

    try:
        return [row for row in read_rows(out / "scores.csv") if row.get("key")]
    except BadInput:
        # Damaged: the table is made anew from what this call knows.
        return []
