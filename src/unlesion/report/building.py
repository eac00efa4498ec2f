"""`unlesion report`: which page a folder's files make."""

from __future__ import annotations

from pathlib import Path

from unlesion.errors import BadInput


def build_report(folder: Path | str) -> Path:
    """Write `report.html` from the files in a folder.

    Args:
        folder: output of `evaluate` (metrics.json), `detect` (scores.csv), `bench` (leaderboard.csv),
            `compare` (compare.json), or `train` and `calibrate` (detector.json).

    Returns:
        The page.

    Raises:
        BadInput: none of these files is there, or one is damaged.
    """
    folder = Path(folder)
    page = folder / "report.html"
    if (folder / "metrics.json").exists():
        from unlesion.report.evaluation_page import evaluation_files, write_evaluation_page

        return write_evaluation_page(page, **evaluation_files(folder))
    if (folder / "leaderboard.csv").exists():
        from unlesion.report.bench_page import bench_files, write_bench_page

        return write_bench_page(page, **bench_files(folder))
    if (folder / "compare.json").exists():
        from unlesion.report.compare_page import compare_files, write_compare_page

        return write_compare_page(page, **compare_files(folder))
    if (folder / "scores.csv").exists():
        from unlesion.report.detection_page import detection_files, write_detection_page

        return write_detection_page(page, **detection_files(folder))
    if (folder / "detector.json").exists():
        from unlesion.report.run_page import run_files, write_run_page

        return write_run_page(page, **run_files(folder))
    raise BadInput(
        f"{folder}: nothing to report on; give an output of train, calibrate, detect, evaluate, compare or bench "
        "(with detector.json, scores.csv, metrics.json, compare.json or leaderboard.csv)"
    )
