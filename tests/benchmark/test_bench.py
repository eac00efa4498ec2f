"""The grid: rows, resuming, known rows, and failures that stay alone."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cohorts import write_pictures
from unlesion.benchmark import KnownResults, read_spec
from unlesion.benchmark.leaderboard import flatten, markdown
from unlesion.benchmark.plan import Cell, make_plan
from unlesion.benchmark.spec import resolve
from unlesion.cli.app import run
from unlesion.errors import BadInput
from unlesion.files import read_json, write_json
from unlesion.methods.baseline.atlas import Atlas
from unlesion.training.config import TrainingConfig

SPEC = """
methods: [intensity, {name: dae, preset: tiny}, {name: ae, label: broken, preset: tiny, set: [recipe.size=8]}]
steps: 30
seeds: [0]
reference: intensity
set: [recipe.size=32]
cohorts:
  - {name: blobs, path: "${BLOBS}", recipe: slices}
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    (folder / "spec.yaml").write_text(SPEC)
    write_pictures(folder / "blobs", train=8, val=4, healthy=6, anomalous=6)
    return folder


def call(bench: Path, monkeypatch: pytest.MonkeyPatch, out: str, *words: str) -> int:
    monkeypatch.setenv("BLOBS", str(bench / "blobs"))
    return run(
        ["bench", str(bench / "spec.yaml"), "--out", str(bench / out), "--jobs", "1", "--quiet", *words]
    )


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "leaderboard.csv").open(newline="") as stream:
        return {row["method"]: row for row in csv.DictReader(stream)}


def test_a_grid_with_a_broken_row(
    bench: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = str(bench / "results")
    assert call(bench, monkeypatch, "first", "--results", results) == 2
    assert "1 of 3 rows failed" in capsys.readouterr().err
    rows = rows_of(bench / "first")
    assert rows["intensity"]["status"] == rows["dae"]["status"] == "done"
    assert rows["broken"]["status"] == "failed"
    assert rows["broken"]["problem"]
    assert rows["dae"]["steps"] == "30"
    found = json.loads((bench / "first" / "evaluations" / "blobs" / "dae-seed0" / "metrics.json").read_text())
    assert float(rows["dae"]["voxel_ap"]) == pytest.approx(found["voxel"]["ap"]["value"])
    difference = float(rows["dae"]["voxel_ap"]) - float(rows["intensity"]["voxel_ap"])
    assert float(rows["dae"]["versus_reference"]) == pytest.approx(difference)
    assert (bench / "first" / "report.html").exists()
    table = (bench / "first" / "leaderboard.md").read_text()
    assert "unlesion bench" in table
    assert "failed" in table

    # Again into the same folder only with --resume; what is known is not measured again.
    assert call(bench, monkeypatch, "first") == 2
    kept = {path: path.read_bytes() for path in (bench / "results").rglob("*.*") if path.is_file()}
    names = sorted(path.name.partition("-")[0] for path in kept)
    assert names == ["dae", "histograms.npz", "histograms.npz", "intensity", "metrics.json", "metrics.json"]
    assert call(bench, monkeypatch, "second", "--results", results) == 2
    assert not (bench / "second" / "runs" / "blobs" / "dae-seed0" / "detector.json").exists()
    again = rows_of(bench / "second")["dae"]
    for name in ("voxel_ap", "versus_metric", "versus_reference", "versus_lo", "versus_hi", "versus_p"):
        assert again[name] == rows["dae"][name] != ""
    assert again["versus_metric"] == "voxel AP"
    assert {path: path.read_bytes() for path in kept} == kept


CLOSED = """
methods: [intensity, {name: atlas, preset: tiny}]
steps: 30
reference: intensity
set: [recipe.size=32]
cohorts:
  - {name: blobs, path: blobs, recipe: slices, test_split: "val,test"}
"""


def bench_in(folder: Path, spec: str, out: str, *words: str) -> int:
    (folder / "spec.yaml").write_text(spec)
    return run(
        ["bench", str(folder / "spec.yaml"), "--out", str(folder / out), "--jobs", "1", "--quiet", *words]
    )


@pytest.fixture
def small(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "blobs", train=6, val=3, healthy=6, anomalous=6)
    return tmp_path


def test_resuming_after_the_spec_was_edited(small: Path) -> None:
    assert bench_in(small, CLOSED, "out") == 0
    runs, evaluations = small / "out" / "runs" / "blobs", small / "out" / "evaluations" / "blobs"
    files = {
        "run": runs / "atlas-seed0" / "detector.json",
        "evaluation": evaluations / "atlas-seed0" / "metrics.json",
        "other run": runs / "intensity-seed0" / "detector.json",
        "other evaluation": evaluations / "intensity-seed0" / "metrics.json",
    }

    def made() -> dict[str, int]:
        return {name: path.stat().st_mtime_ns for name, path in files.items()}

    def redone(before: dict[str, int]) -> set[str]:
        return {name for name, time in made().items() if time != before[name]}

    assert json.loads(files["evaluation"].read_text())["cohort"]["split"] == "val,test"
    before = made()
    assert bench_in(small, CLOSED, "out", "--resume") == 0
    assert redone(before) == set()
    # Another test: the runs stay.
    edited = CLOSED.replace("val,test", "test")
    assert bench_in(small, edited, "out", "--resume") == 0
    assert redone(before) == {"evaluation", "other evaluation"}
    # Another setting of one method: nothing of the other is made anew.
    before = made()
    edited = edited.replace("preset: tiny", 'preset: tiny, set: ["scoring.sign=bright"]')
    assert bench_in(small, edited, "out", "--resume") == 0
    assert redone(before) == {"run", "evaluation"}
    assert rows_of(small / "out")["atlas"]["sign"] == "bright"
    # A run of unknown origin is not trusted.
    before = made()
    (runs / "atlas-seed0" / "identity.json").unlink()
    assert bench_in(small, edited, "out", "--resume") == 0
    assert redone(before) == {"run", "evaluation"}


def test_a_changed_default_makes_a_new_row(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (small / "spec.yaml").write_text(CLOSED)
    spec = read_spec(small / "spec.yaml")
    cell = Cell(method=spec.methods[1], cohort=spec.cohorts[0], seed=0)
    before = make_plan(spec, cell, folder=small)
    assert before.run["training"]["ema"] and before.run["scoring"]["post"]["median_mm"]
    assert "test" not in before.run
    field = TrainingConfig.model_fields["ema"]
    monkeypatch.setattr(field, "default", 0.5)
    TrainingConfig.model_rebuild(force=True)
    try:
        after = make_plan(spec, cell, folder=small)
    finally:
        monkeypatch.undo()
        TrainingConfig.model_rebuild(force=True)
    known = KnownResults(small)
    assert known.path(after.row) != known.path(before.row)
    assert make_plan(spec, cell, folder=small).row == before.row
    # Rows under random maps of grey values know which maps these were; others do not mind.
    mapped = replace(cell, method=cell.method.model_copy(update={"set": ("training.recontrast=0.5",)}))
    assert "recontrasted" in make_plan(spec, mapped, folder=small).run and "recontrasted" not in before.run


def test_a_known_reference_without_histograms(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlesion.benchmark.known.LARGEST_EVIDENCE", 0)
    results = ("--results", str(small / "results"))
    alone = CLOSED.replace(", {name: atlas, preset: tiny}", "")
    assert bench_in(small, alone, "first", *results) == 0
    assert [path.name for path in (small / "results" / "blobs").iterdir() if path.is_dir()] == []
    assert bench_in(small, CLOSED, "second", *results) == 0
    row = rows_of(small / "second")["atlas"]
    wanted = "no paired interval: the reference row is known but its histograms were not kept"
    assert row["versus_note"] == wanted
    assert row["versus_reference"] == ""
    assert wanted in (small / "second" / "leaderboard.md").read_text()


def test_cohorts_without_masks_are_compared_by_scans(small: Path) -> None:
    manifest = small / "blobs" / "manifest.csv"
    with manifest.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with manifest.open("w", newline="") as stream:
        writer = csv.DictWriter(
            stream, [name for name in rows[0] if name != "mask_path"], extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(rows)
    assert bench_in(small, CLOSED, "out") == 0
    row, other = (rows_of(small / "out")[name] for name in ("atlas", "intensity"))
    assert row["voxel_ap"] == ""
    assert row["versus_metric"] == "image AUROC"
    difference = float(row["image_auroc"]) - float(other["image_auroc"])
    assert float(row["versus_reference"]) == pytest.approx(difference)
    assert "image AUROC minus intensity (paired)" in (small / "out" / "leaderboard.md").read_text()


def test_a_failure_of_ours_costs_one_row(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise KeyError("broken inside")

    monkeypatch.setattr(Atlas, "fit", broken)
    assert bench_in(small, CLOSED, "out") == 1
    rows = rows_of(small / "out")
    assert rows["intensity"]["status"] == "done"
    assert (rows["atlas"]["status"], rows["atlas"]["problem"]) == ("failed", "KeyError: 'broken inside'")
    log = (small / "out" / "unlesion.log").read_text()
    assert "Traceback" in log and "in broken" in log
    assert "Traceback" not in capsys.readouterr().err

    def stopped(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Atlas, "fit", stopped)
    assert bench_in(small, CLOSED, "out", "--resume") == 130


def test_other_settings_are_other_rows(tmp_path: Path) -> None:
    known = KnownResults(tmp_path)
    identity = {"label": "dae", "cohort_label": "c", "seed": 0, "config": {"sigma": 0.2}, "method_version": 1}
    known.keep(identity, {"voxel_ap": 0.5})
    assert known.find(dict(reversed(identity.items()))) == {"voxel_ap": 0.5}
    assert known.find({**identity, "method_version": 2}) is None
    assert known.find({**identity, "config": {"sigma": 0.3}}) is None


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"minutes": 1}, "budget"),
        ({"steps": None}, "budget"),
        ({"steps": 0}, "steps"),
        ({"steps": None, "minutes": 0}, "minutes"),
        ({"methods": [{"name": "dae", "minutes": -1}]}, "minutes"),
        ({"methods": []}, "methods"),
        ({"methods": ["dae", "dae"]}, "label"),
        ({"reference": "vae"}, "reference"),
        ({"cohort": []}, "cohorts"),
        ({"cohorts": [{"name": "../evil", "path": "a"}]}, "'../evil' is no name for a folder"),
        ({"methods": [{"name": "dae", "label": "a/b"}]}, "'a/b' is no name for a folder"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [-1]}, "seeds"),
    ],
)
def test_bad_specs(tmp_path: Path, change: dict[str, object], wanted: str) -> None:
    spec = {"methods": ["dae"], "steps": 3, "cohorts": [{"name": "a", "path": "a"}], **change}
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(spec))
    with pytest.raises(BadInput, match=wanted):
        read_spec(path)


def test_what_a_variable_holds_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "${PLACE}")
    assert resolve("${PLACE}/a/${NOWHERE_AT_ALL:-b}", tmp_path) == tmp_path / "${PLACE}" / "a" / "b"
    with pytest.raises(BadInput, match="not closed"):
        resolve("${PLACE/a", tmp_path)
    with pytest.raises(BadInput, match="NOWHERE_AT_ALL is not set"):
        resolve("${NOWHERE_AT_ALL}/a", tmp_path)


def test_a_method_with_two_budgets(tmp_path: Path) -> None:
    method = {"name": "ae", "minutes": 1, "steps": 2}
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps({"methods": [method], "cohorts": [{"name": "a", "path": "a"}], "steps": 3}))
    with pytest.raises(BadInput, match="ae: give minutes or steps"):
        read_spec(path)


def test_undefined_metrics_leave_empty_cells() -> None:
    metrics = {
        "voxel": {"ap": {"value": 0.5, "ci": [0.4, 0.6]}},
        "image": {"auroc": {"value": None, "why": "one class"}},
    }
    flat = flatten(metrics)
    assert (flat["voxel_ap"], flat["voxel_ap_lo"], flat["voxel_ap_hi"]) == (0.5, 0.4, 0.6)
    assert flat["image_auroc"] is None
    row = {"cohort": "c", "method": "m", "preset": "cpu", "seed": 0, "status": "done", "sign": "both", **flat}
    text = markdown([row], command="x")
    assert "0.500 [0.400, 0.600]" in text
    assert "AUROC" not in text


def test_methods_with_seeds_and_budgets_of_their_own(tmp_path: Path) -> None:
    write_pictures(tmp_path / "blobs", train=4, val=3, healthy=3, anomalous=3)
    spec = {
        "methods": [
            {"name": "intensity", "seeds": [0]},
            {"name": "ae", "preset": "tiny", "steps": 3, "seeds": [0, 1]},
            {"name": "ae", "label": "ae-long", "preset": "tiny"},
        ],
        "cohorts": [{"name": "blobs", "path": "blobs", "recipe": "slices"}],
        "steps": 6,
        "seeds": [2],
        "set": ["recipe.size=32"],
        "reference": "intensity",
    }
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    out = tmp_path / "out"
    assert run(["bench", str(tmp_path / "spec.yaml"), "--out", str(out), "--jobs", "1", "--quiet"]) == 0
    with (out / "leaderboard.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = [(row["method"], row["seed"], row["steps"]) for row in rows]
    assert found == [("intensity", "0", ""), ("ae", "0", "3"), ("ae", "1", "3"), ("ae-long", "2", "6")]
    assert all(row["versus_reference"] for row in rows[1:])
    assert not rows[0]["versus_reference"]


SHARED = """
methods: [{name: ae, preset: tiny}]
steps: 3
set: [recipe.size=32]
cohorts:
  - {name: same, path: blobs, recipe: slices}
  - {name: other, path: blobs, recipe: slices, test_path: others, test_where: [label=anomalous]}
  - {name: own, path: blobs, recipe: slices, set: [recipe.normalise.median_at=0.4]}
"""


def test_cohorts_that_learn_alike_share_a_training(small: Path) -> None:
    write_pictures(small / "others", train=0, val=0, healthy=2, anomalous=4)
    assert bench_in(small, SHARED, "out") == 0
    assert {path.name for path in (small / "out" / "runs").iterdir()} == {"same", "own"}
    evaluations = small / "out" / "evaluations"
    found = {
        name: json.loads((evaluations / name / "ae-seed0" / "metrics.json").read_text())
        for name in ("same", "other", "own")
    }
    scans = {name: metrics["n"]["scans"]["value"] for name, metrics in found.items()}
    assert scans == {"same": 12, "other": 4, "own": 12}
    recipes = {
        name: json.loads((small / "out" / "runs" / name / "ae-seed0" / "detector.json").read_text())["recipe"]
        for name in ("same", "own")
    }
    assert [recipes[name]["normalise"]["median_at"] for name in ("same", "own")] == [0.5, 0.4]
    # A training made anew takes the evaluations of all that share it with it.
    stale = evaluations / "other" / "ae-seed0" / "identity.json"
    before = stale.stat().st_mtime_ns
    (small / "out" / "runs" / "same" / "ae-seed0" / "identity.json").unlink()
    assert bench_in(small, SHARED, "out", "--resume") == 0
    assert stale.stat().st_mtime_ns != before


ALIKE = """
methods:
  - {name: ddpm, preset: tiny}
  - {name: ddpm, label: two-levels, preset: tiny, set: ["method.t_test=[250,750]", scoring.sign=dark]}
  - {name: ddpm, label: faster, preset: tiny, set: [method.learning_rate=0.01]}
steps: 3
set: [recipe.size=32]
cohorts:
  - {name: blobs, path: blobs, recipe: slices}
"""


def test_rows_that_differ_at_detection_only_are_learnt_once(small: Path) -> None:
    assert bench_in(small, ALIKE, "out") == 0
    runs = small / "out" / "runs" / "blobs"
    records = {
        name: json.loads((runs / f"{name}-seed0" / "detector.json").read_text())["record"]
        for name in ("ddpm", "two-levels", "faster")
    }
    assert records["two-levels"]["weights_of"] == "ddpm-seed0"
    assert "weights_of" not in records["ddpm"] and "weights_of" not in records["faster"]
    rows = rows_of(small / "out")
    assert {row["steps"] for row in rows.values()} == {"3"}
    assert rows["two-levels"]["voxel_ap"] != rows["ddpm"]["voxel_ap"]
    assert rows["two-levels"]["sign"] == "dark"
    # A run of a method that is gone, such as a plug-in's, lies there: no row minds.
    gone = runs / "another-seed0"
    shutil.copytree(runs / "ddpm-seed0", gone)
    write_json(gone / "identity.json", {**read_json(gone / "identity.json"), "method": "gone"})
    shutil.rmtree(runs / "two-levels-seed0")
    assert bench_in(small, ALIKE, "out", "--resume") == 0


def test_a_row_is_learnt_anew_where_a_run_does_not_serve(small: Path) -> None:
    alone = "\n".join(line for line in ALIKE.splitlines() if "label:" not in line)
    assert bench_in(small, alone, "out") == 0
    runs = small / "out" / "runs" / "blobs"
    saved = json.loads((runs / "ddpm-seed0" / "detector.json").read_text())
    # As if some of its scans could not be read then.
    saved["record"]["slices"] -= 1
    (runs / "ddpm-seed0" / "detector.json").write_text(json.dumps(saved))
    assert bench_in(small, ALIKE, "out", "--resume") == 0
    assert rows_of(small / "out")["two-levels"]["status"] == "done"
    record = json.loads((runs / "two-levels-seed0" / "detector.json").read_text())["record"]
    assert "weights_of" not in record and record["steps"] == {"diffusion": 3}


def test_a_place_read_from_the_environment_that_is_not_there(
    bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOBS", str(bench / "nowhere.csv"))
    spec = read_spec(bench / "spec.yaml")
    with pytest.raises(BadInput, match=r"nowhere.csv: .* read from \$\{BLOBS\}"):
        make_plan(spec, Cell(cohort=spec.cohorts[0], method=spec.methods[0], seed=0), folder=bench)


def test_a_part_of_the_grid_and_another_part_later(small: Path) -> None:
    def labels() -> dict[str, dict[str, str]]:
        return rows_of(small / "out")

    assert bench_in(small, CLOSED, "out", "--methods", "atlas") == 0
    assert list(labels()) == ["atlas"]
    assert (
        labels()["atlas"]["versus_note"] == "no paired interval: the reference is not measured in this call"
    )
    before = (small / "out" / "runs" / "blobs" / "atlas-seed0" / "detector.json").stat().st_mtime_ns
    # What was measured is taken up without a training, and now there is something to compare it with.
    assert bench_in(small, CLOSED, "out", "--methods", "intensity", "--cohorts", "blobs", "--resume") == 0
    assert list(labels()) == ["intensity", "atlas"]
    assert labels()["atlas"]["versus_reference"]
    assert (small / "out" / "runs" / "blobs" / "atlas-seed0" / "detector.json").stat().st_mtime_ns == before
    # A row whose run is gone is not made anew unless it is asked for.
    shutil.rmtree(small / "out" / "runs" / "blobs" / "atlas-seed0")
    assert bench_in(small, CLOSED, "out", "--methods", "intensity", "--resume") == 0
    assert list(labels()) == ["intensity", "atlas"]
    # It stands there as it was measured; with what it was compared, nobody knows any more.
    assert labels()["atlas"]["voxel_ap"] and not labels()["atlas"]["versus_reference"]


def test_rows_that_failed_or_left_scans_out_stay_when_others_are_measured(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = CLOSED.replace(
        "[intensity,", "[intensity, {name: ae, label: broken, preset: tiny, set: [method.nope=8]},"
    )
    scan = next(path for path in (small / "blobs").rglob("*.png") if path.name == "s10.png")
    scan.write_bytes(scan.read_bytes()[:40])
    assert bench_in(small, spec, "out", "--methods", "intensity,broken") == 2
    assert "some rows will fail: " in capsys.readouterr().err
    before = rows_of(small / "out")
    assert before["broken"]["status"] == "failed" and before["intensity"]["left_out"] == "1"
    assert bench_in(small, spec, "out", "--methods", "atlas", "--resume") == 2
    after = rows_of(small / "out")
    for name, row in before.items():
        same = [column for column in row if not column.startswith("versus_")]
        assert {column: after[name][column] for column in same} == {column: row[column] for column in same}
    assert after["atlas"]["status"] == "done" and after["intensity"]["voxel_ap"]
    assert "measured by an earlier call" in after["intensity"]["versus_note"]
    table = (small / "out" / "leaderboard.md").read_text()
    assert "1 scan could not be used" in table and "failed: " in table


def test_a_run_of_other_settings_is_replaced_with_a_word(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench_in(small, CLOSED, "out", "--methods", "atlas", "--set", "scoring.pool=mean") == 0
    capsys.readouterr()
    assert bench_in(small, CLOSED, "out", "--methods", "atlas", "--resume") == 0
    assert "was made with other settings (scoring.pool); it is replaced" in capsys.readouterr().err
    # What cannot be at all touches nothing.
    table = (small / "out" / "leaderboard.csv").read_bytes()
    assert bench_in(small, CLOSED, "out", "--resume", "--set", "scoring.pol=mean") == 2
    assert (small / "out" / "leaderboard.csv").read_bytes() == table


def test_a_folder_of_something_else_is_not_taken(small: Path) -> None:
    assert bench_in(small, CLOSED, "blobs") == 2
    assert not (small / "blobs" / "leaderboard.csv").exists()


def test_a_part_that_the_grid_does_not_have(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, there in (("--methods", "intensity, atlas"), ("--cohorts", "blobs")):
        assert bench_in(small, CLOSED, "out", words, "dae") == 2
        assert f"{words} dae: the benchmark has {there}" in capsys.readouterr().err
    assert bench_in(small, CLOSED, "out", "--methods", ",") == 2
    assert not (small / "out").exists()


def test_settings_of_the_command_line_hold_for_all_methods(small: Path) -> None:
    assert bench_in(small, CLOSED, "out", "--set", "scoring.post.median_mm=0") == 0
    for folder in (small / "out" / "runs" / "blobs").iterdir():
        assert read_json(folder / "identity.json")["scoring"]["post"]["median_mm"] == 0
