"""Going through the grid: resumable, known rows reused, one failure never stops the rest."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

from unlesion.benchmark.identity import IDENTITY, OF_PART, differences, is_of
from unlesion.benchmark.known import KnownResults
from unlesion.benchmark.leaderboard import VERSUS, flatten, read_csv, write_csv, write_markdown
from unlesion.benchmark.plan import Cell, Plan, learns_alike, make_plan
from unlesion.benchmark.same_scans import choose_scans, show_scans
from unlesion.benchmark.spec import BenchSpec, CohortSpec, MethodSpec, Wanted
from unlesion.benchmark.versus import against, without
from unlesion.detector import Detector
from unlesion.errors import BadInput, UnlesionError
from unlesion.evaluating import evaluate_detector
from unlesion.files import read_json, write_json
from unlesion.prepare import PreparedStore, prepare_cohort
from unlesion.progress import Bars, counted, silent
from unlesion.report.bench_page import SAME_SCANS
from unlesion.report.files import read_rows
from unlesion.sweep import Failures
from unlesion.training import OtherScans, OtherTraining, cohort_options, is_finished, train

_log = logging.getLogger("unlesion.benchmark")


class Bench:
    """Runs a benchmark.

    Args:
        spec: the grid.
        folder: where the spec lies; cohort paths are relative to it.
        out: output folder; `runs/`, `evaluations/` and `stores/` below it.
        known: results kept from before.
        executor: reads and prepares scans in parallel.
        bars: shows progress.
        device: where networks run.
        tell: told what is going on.
        warn: told what is doubtful or went wrong; by default `tell`.
        command: the command line, printed above the leaderboard.
        part: the rows to measure, all by default; others are taken up where they are known or were measured in `out` before.
    """

    def __init__(
        self,
        spec: BenchSpec,
        *,
        folder: Path,
        out: Path,
        known: KnownResults,
        executor: Executor | None = None,
        bars: Bars = silent,
        device: str = "auto",
        tell: Callable[[str], None] = lambda message: None,
        warn: Callable[[str], None] | None = None,
        command: str = "",
        part: Wanted | None = None,
    ) -> None:
        self.spec, self.folder, self.out, self.known = spec, folder, out, known
        self.executor, self.bars, self.device, self.tell, self.command = executor, bars, device, tell, command
        self.warn = tell if warn is None else warn
        self.part = spec.part_of(methods=(), cohorts=()) if part is None else part
        self._warned: set[str] = set()
        # Evaluations of this call, whole or with scans left out.
        self._measured: set[Path] = set()
        # Cohort and seed -> the reference's evaluation, or why there is none to compare with.
        self._references: dict[tuple[str, int], Path | str] = {}

    def run(self) -> list[dict[str, Any]]:
        """Fill every cell; the rows, which are also written after every cell.

        A row that failed has the `status` "failed", the `problem` in words, and in `exit_code` whose fault
        it was: 2 for input that cannot be used, 1 for a failure of ours.
        """
        cells = [
            Cell(method=method, cohort=cohort, seed=seed)
            for cohort in self.spec.cohorts
            for seed in self._seeds()
            for method in self._reference_first()
            if seed in self.spec.seeds_of(method)
        ]
        self._check([cell for cell in cells if self._wanted(cell)])
        # Until a row is measured anew, that of an earlier call stands for it.
        found = self._earlier(cells)
        todo = [cell for cell in cells if self._wanted(cell) or self._is_measured(cell)]
        for number, cell in enumerate(todo, start=1):
            self.tell(f"[{number}/{len(todo)}] {cell.cohort.name} · {cell.label} · seed {cell.seed}")
            found[cell] = self._row(cell)
            rows = [found[cell] for cell in cells if cell in found]
            write_csv(rows, self.out / "leaderboard.csv")
            write_markdown(rows, self.out / "leaderboard.md", command=self.command)
        return [found[cell] for cell in todo]

    def _check(self, cells: list[Cell]) -> None:
        """Say at once, before hours are spent, which rows cannot be: unknown settings, images that are not here.

        Raises:
            BadInput: none of them can be.
        """
        wrong: dict[Cell, BadInput] = {}
        for cell in cells:
            try:
                make_plan(self.spec, cell, folder=self.folder)
            except BadInput as error:
                wrong[cell] = error
            except Exception:
                # A failure of ours costs the row alone, in its turn.
                continue
        if len(wrong) == len(cells):
            raise next(iter(wrong.values()))
        for words in dict.fromkeys(map(str, wrong.values())):
            self.warn(f"some rows will fail: {words}")

    def _earlier(self, cells: list[Cell]) -> dict[Cell, dict[str, Any]]:
        """Rows of the leaderboard that lies there, as far as their runs are still those of the grid."""
        heads = {tuple(str(value) for value in cell.head().values()): cell for cell in cells}
        found = {}
        for row in read_csv(self.out / "leaderboard.csv"):
            cell = heads.get(tuple(str(row.get(name)) for name in ("cohort", "method", "preset", "seed")))
            if cell is not None and (row.get("status") != "done" or self._still(cell)):
                # Of what it was compared with nobody knows whether it is still the same.
                found[cell] = {**row, **dict.fromkeys(VERSUS), **without("measured by an earlier call")}
        return found

    def _wanted(self, cell: Cell) -> bool:
        return cell.label in self.part.methods and cell.cohort.name in self.part.cohorts

    def _is_measured(self, cell: Cell) -> bool:
        """Whether a row that was not asked for costs nothing: it is known, or its run and evaluation lie in the folder."""
        plan = self._plan(cell)
        if plan is None or self._is_known(plan):
            return plan is not None
        run = self._run(cell)
        is_there = is_of(run, plan.run) and (run / "detector.json").exists()
        return is_there and is_of(self._evaluation(cell), plan.evaluation)

    def _still(self, cell: Cell) -> bool:
        """Whether an earlier row was measured just so, be it with scans left out."""
        plan = self._plan(cell)
        if plan is None:
            # Such as images that are not here any more.
            return True
        found = self._evaluation(cell)
        return self._is_known(plan) or any(is_of(found, plan.evaluation, name=n) for n in (IDENTITY, OF_PART))

    def _plan(self, cell: Cell) -> Plan | None:
        try:
            return make_plan(self.spec, cell, folder=self.folder)
        except BadInput:
            # Such as images that are not here: they need not be.
            return None

    def _is_known(self, plan: Plan) -> bool:
        try:
            return self.known.find(plan.row) is not None
        except BadInput:
            # A damaged row costs itself alone.
            return False

    def _seeds(self) -> list[int]:
        """Those of the reference first: a method that has others is compared with its first one."""
        methods = self._reference_first()
        return list(dict.fromkeys(seed for method in methods for seed in self.spec.seeds_of(method)))

    def _reference_first(self) -> list[MethodSpec]:
        methods = list(self.spec.methods)
        return sorted(methods, key=lambda m: (m.label or m.name) != self.spec.reference)

    def _row(self, cell: Cell) -> dict[str, Any]:
        try:
            plan = make_plan(self.spec, cell, folder=self.folder)
            self._warn_of(plan)
            row = self.known.find(plan.row)
            if row is None:
                row = self._measure(cell, plan)
                # What rests on fewer scans than there are would be taken for the whole for good.
                if not row["left_out"]:
                    self.known.keep(
                        plan.row, {**row, "identity": plan.row}, evaluation=self._evaluation(cell)
                    )
            else:
                self.tell("  known already: " + str(self.known.path(plan.row)))
                if not is_of(self._evaluation(cell), plan.evaluation):
                    # Pictures of something else must not stand beside these numbers.
                    shutil.rmtree(self._evaluation(cell) / SAME_SCANS, ignore_errors=True)
                # A row may be older than some columns whose metrics it has.
                row = {**row, **flatten(row.get("metrics") or {})}
            return {**row, **self._versus(cell, plan)}
        # Whatever breaks in one row must not cost the others; the row says what happened.
        except Exception as error:
            ours = not isinstance(error, BadInput)
            message = str(error) if isinstance(error, UnlesionError) else f"{type(error).__name__}: {error}"
            self.warn(f"{cell.folder}: failed: {message}")
            if ours:
                _log.exception("%s: failure", cell.folder)
            if cell.label == self.spec.reference:
                self._references[cell.cohort.name, cell.seed] = "the reference row failed"
            return {**cell.head(), "status": "failed", "problem": message, "exit_code": 1 if ours else 2}

    def _measure(self, cell: Cell, plan: Plan) -> dict[str, Any]:
        detector = self._detector(cell, plan)
        evaluation = self._evaluation(cell)
        failures = Failures(self.warn)
        if not is_of(evaluation, plan.evaluation):
            shutil.rmtree(evaluation, ignore_errors=True)
            evaluate_detector(
                detector,
                plan.test,
                evaluation,
                split=cell.cohort.test_split,
                executor=self.executor,
                bars=self.bars,
                device=self.device,
                warn=self.warn,
                failures=failures,
            )
            self._measured.add(evaluation)
            # Written last: it also says that the evaluation is complete, which one with scans left out is not.
            write_json(evaluation / (OF_PART if failures else IDENTITY), plan.evaluation)
        if not (evaluation / SAME_SCANS).exists():
            self._show(detector, plan, evaluation)
        metrics = read_json(evaluation / "metrics.json")
        record = detector.record
        steps = record.get("steps")
        return {
            **cell.head(),
            "status": "done",
            "sign": metrics.get("sign"),
            "steps": sum(steps.values()) if steps else None,
            "train_minutes": round(record.get("fit_seconds", 0.0) / 60.0, 2),
            "images_per_second": record.get("images_per_second"),
            "left_out": len(failures) + record.get("failed", 0),
            "left_out_ours": failures.ours + record.get("failed_ours", 0),
            "repeat": record.get("repeat"),
            **flatten(metrics),
            "metrics": metrics,
        }

    def _show(self, detector: Detector, plan: Plan, evaluation: Path) -> None:
        """Keep pictures of the scans that the page shows of every method of the cohort."""
        try:
            keys = choose_scans(read_rows(evaluation / "scans.csv"))
            entries = {entry.key: entry for entry in plan.test}
            gallery = show_scans(detector, [entries[key] for key in keys], device=self.device)
            gallery.save(evaluation / SAME_SCANS)
        # Numbers are there: a picture that fails must not cost them.
        except Exception as error:
            self.warn(f"{evaluation}: without pictures: {type(error).__name__}: {error}")
            _log.exception("%s: failure of pictures", evaluation)

    def _detector(self, cell: Cell, plan: Plan) -> Detector:
        """The cell's run: as it lies there, gone on with, or begun anew if it was made from something else.

        Cohorts that learn from the same share it.
        """
        run = self._run(cell)
        same = is_of(run, plan.run)
        if same and (run / "detector.json").exists():
            return Detector.load(run)
        # What another run was evaluated to must not be taken for this one's.
        for cohort in self.spec.cohorts:
            if cohort.learns_like(cell.cohort):
                shutil.rmtree(self._evaluation(replace(cell, cohort=cohort)), ignore_errors=True)
        before = run.with_name(f".{run.name}-before")
        if not same:
            if (run / "detector.json").exists():
                self.warn(
                    f"{run}: was made with other settings ({differences(run, plan.run)}); it is replaced"
                )
            # What lies there may have learnt the same, and differ in scoring alone: it goes when the new one is there.
            shutil.rmtree(before, ignore_errors=True)
            if run.exists():
                run.rename(before)
            write_json(run / IDENTITY, plan.run)
        detector = self._learn(cell, plan, run)
        shutil.rmtree(before, ignore_errors=True)
        return detector

    def _learn(self, cell: Cell, plan: Plan, run: Path) -> Detector:
        """Take the weights of another run that learnt the same, or train."""
        weights = self._weights(run.parent, plan)
        if weights is not None:
            self.tell(f"  learnt already, by {weights.name}")
            try:
                return self._train(cell, plan, run, weights)
            except (OtherTraining, OtherScans) as error:
                # Such as scans that changed since.
                self.tell(f"  learnt anew: {error}")
        try:
            return self._train(cell, plan, run, None)
        except OtherScans as error:
            # An interrupted training that cannot go on: files were copied anew, or one that failed can be read now.
            self.tell(f"  begun anew: {error}")
            shutil.rmtree(run)
            write_json(run / IDENTITY, plan.run)
            return self._train(cell, plan, run, None)

    def _train(self, cell: Cell, plan: Plan, run: Path, weights: Path | None) -> Detector:
        budget = self.spec.budget_of(cell.method)
        store, failures = self._store(cell, plan)
        return train(
            plan.learn,
            method=cell.method.name,
            out=run,
            recipe=plan.recipe,
            preset=cell.method.preset,
            minutes=budget.minutes if weights is None else None,
            steps=budget.steps if weights is None else None,
            weights=weights,
            seed=cell.seed,
            settings=plan.settings,
            resume=True,
            store=store,
            failures=failures,
            executor=self.executor,
            bars=self.bars,
            device=self.device,
            tell=self.tell,
            warn=self.warn,
            source_words=[
                cell.cohort.path,
                *cohort_options(
                    root=cell.cohort.root,
                    where=cell.cohort.where,
                    channels=",".join(cell.cohort.channels) or None,
                ),
            ],
        )

    def _weights(self, runs: Path, plan: Plan) -> Path | None:
        """A finished run that learnt just what this one would; rows may differ in scoring and settings of detection only."""
        if plan.run["budget"] is None:
            return None
        for run in sorted(path for path in runs.iterdir() if (path / IDENTITY).is_file()):
            if is_finished(run) and learns_alike(plan.run, read_json(run / IDENTITY)):
                return run
        return None

    def _store(self, cell: Cell, plan: Plan) -> tuple[PreparedStore, Failures]:
        """The cohort's healthy training scans, prepared once for all methods, and those that could not be."""
        healthy = plan.learn.select(split="train", label="healthy")
        out = self.out / "stores" / f"{self._learnt(cell.cohort).name}-{plan.recipe.digest}"
        with counted(self.bars, "prepare") as progress:
            store, failures = prepare_cohort(
                healthy, plan.recipe, out, executor=self.executor, progress=progress
            )
        told = Failures(self.warn)
        told.take_all(failures, said="left out: ")
        return store, told

    def _warn_of(self, plan: Plan) -> None:
        """Say once what was noticed on opening the cohorts."""
        for words in (*plan.learn.warnings, *plan.test.warnings):
            if words not in self._warned:
                self._warned.add(words)
                self.warn(words)

    def _learnt(self, cohort: CohortSpec) -> CohortSpec:
        """The first cohort that learns from the same: whose run and store are used."""
        return next(other for other in self.spec.cohorts if other.learns_like(cohort))

    def _versus(self, cell: Cell, plan: Plan) -> dict[str, Any]:
        """The paired difference with the reference, from evaluations of now or kept from before."""
        if self.spec.reference is None:
            return {}
        mine = self._evaluation(cell)
        # What is kept first: it is what the row's own numbers are of.
        here = mine in self._measured or is_of(mine, plan.evaluation)
        found = self.known.evidence(plan.row) or (mine if here else None)
        where = cell.cohort.name, cell.seed
        if cell.label == self.spec.reference:
            lost = "the reference row is known but its histograms were not kept"
            self._references[where] = lost if found is None else found
            return {}
        # A reference with fewer seeds is compared with by its first one.
        reference = self._references.get(where)
        if reference is None:
            own = next(m for m in self.spec.methods if (m.label or m.name) == self.spec.reference)
            seeds = self.spec.seeds_of(own)
            has_mine = cell.seed in seeds
            reference = None if has_mine else self._references.get((cell.cohort.name, seeds[0]))
        if reference is None:
            return without("the reference is not measured in this call")
        if isinstance(reference, str):
            return without(reference)
        if found is None:
            return without("the row is known but its histograms were not kept")
        return {**against(reference, found), "versus_label": self.spec.reference}

    def _run(self, cell: Cell) -> Path:
        return self.out / "runs" / replace(cell, cohort=self._learnt(cell.cohort)).folder

    def _evaluation(self, cell: Cell) -> Path:
        return self.out / "evaluations" / cell.folder
