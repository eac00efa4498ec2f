"""Going through the grid: resumable, known rows reused, one failure never stops the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlesion.benchmark.known import KnownResults
from unlesion.benchmark.leaderboard import flatten, write_csv, write_markdown
from unlesion.benchmark.spec import BenchSpec, CohortSpec, MethodSpec, resolve
from unlesion.detector import Detector
from unlesion.errors import UnlesionError
from unlesion.evaluating import evaluate_detector
from unlesion.evaluation import compare
from unlesion.files import read_json
from unlesion.methods.registry import get_method, preset_settings
from unlesion.prepare import PreparedStore, Recipe, choose_recipe, load_recipe, prepare_cohort
from unlesion.progress import Bars, counted, silent
from unlesion.scans import Cohort
from unlesion.settings import merged, nested, parse_settings
from unlesion.training import train


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row to be: a method on a cohort with a seed."""

    method: MethodSpec
    cohort: CohortSpec
    seed: int

    @property
    def label(self) -> str:
        """How the leaderboard calls the method."""
        return self.method.label or self.method.name

    @property
    def folder(self) -> str:
        """Where the cell's files go."""
        return f"{self.cohort.name}/{self.label}-seed{self.seed}"


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
        command: the command line, printed above the leaderboard.
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
        command: str = "",
    ) -> None:
        self.spec, self.folder, self.out, self.known = spec, folder, out, known
        self.executor, self.bars, self.device, self.tell, self.command = executor, bars, device, tell, command

    def run(self) -> list[dict[str, Any]]:
        """Fill every cell; the rows, which are also written after every cell."""
        cells = [
            Cell(method=method, cohort=cohort, seed=seed)
            for cohort in self.spec.cohorts
            for seed in self.spec.seeds
            for method in self._reference_first()
        ]
        rows: list[dict[str, Any]] = []
        for number, cell in enumerate(cells, start=1):
            self.tell(f"[{number}/{len(cells)}] {cell.cohort.name} · {cell.label} · seed {cell.seed}")
            rows.append(self._row(cell))
            write_csv(rows, self.out / "leaderboard.csv")
            write_markdown(rows, self.out / "leaderboard.md", command=self.command)
        return rows

    def _reference_first(self) -> list[MethodSpec]:
        methods = list(self.spec.methods)
        return sorted(methods, key=lambda m: (m.label or m.name) != self.spec.reference)

    def _row(self, cell: Cell) -> dict[str, Any]:
        try:
            learn, test = self._cohorts(cell.cohort)
            recipe, settings = self._settings(cell, learn)
            identity = self._identity(cell, learn, test, recipe, settings)
            found = self.known.find(identity)
            if found is not None:
                self.tell("  known already: " + str(self.known.path(identity)))
                return found
            row = self._measure(cell, learn, test, recipe, settings)
            self.known.keep(identity, {**row, "identity": identity})
            return row
        except UnlesionError as error:
            self.tell(f"  failed: {error}")
            return {**_head(cell), "status": "failed", "problem": str(error)}
        except (RuntimeError, ValueError, MemoryError) as error:
            # A method that breaks must not cost the other rows; the row says what happened.
            self.tell(f"  failed: {type(error).__name__}: {error}")
            return {**_head(cell), "status": "failed", "problem": f"{type(error).__name__}: {error}"}

    def _cohorts(self, spec: CohortSpec) -> tuple[Cohort, Cohort]:
        path = resolve(spec.path, self.folder)
        learn = Cohort.open(path, where=spec.where, channels=spec.channels).with_splits()
        test_where = spec.where if spec.test_where is None else spec.test_where
        test = Cohort.open(path, where=test_where, channels=spec.channels)
        return learn, test.select(split=spec.test_split.split(","))

    def _settings(self, cell: Cell, learn: Cohort) -> tuple[Recipe, dict[str, dict[str, Any]]]:
        settings = parse_settings([*self.spec.set, *cell.method.set])
        size = preset_settings(get_method(cell.method.name), cell.method.preset)["image_size"]
        name = cell.cohort.recipe or choose_recipe(learn).name
        return load_recipe(name, {"size": size, **settings["recipe"]}), settings

    def _identity(
        self,
        cell: Cell,
        learn: Cohort,
        test: Cohort,
        recipe: Recipe,
        settings: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, Any]:
        method = get_method(cell.method.name)
        fixed = preset_settings(method, cell.method.preset)
        return {
            "label": cell.label,
            "cohort_label": cell.cohort.name,
            "method": method.name,
            "method_version": method.version,
            "config": merged(fixed, nested(settings["method"])),
            "training": dict(settings["training"]),
            "scoring": merged(dict(method.native), nested(settings["scoring"])),
            "recipe": recipe.digest,
            "learn": learn.digest,
            "test": test.digest,
            "seed": cell.seed,
            "budget": {"minutes": self.spec.minutes, "steps": self.spec.steps}
            if method_learns(cell)
            else None,
        }

    def _measure(
        self,
        cell: Cell,
        learn: Cohort,
        test: Cohort,
        recipe: Recipe,
        settings: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, Any]:
        run = self.out / "runs" / cell.folder
        if (run / "detector.json").exists():
            detector = Detector.load(run)
        else:
            detector = train(
                learn,
                method=cell.method.name,
                out=run,
                recipe=recipe,
                preset=cell.method.preset,
                minutes=self.spec.minutes,
                steps=self.spec.steps,
                seed=cell.seed,
                settings=settings,
                resume=True,
                store=self._store(cell.cohort, learn, recipe),
                executor=self.executor,
                bars=self.bars,
                device=self.device,
                tell=self.tell,
            )
        evaluation = self.out / "evaluations" / cell.folder
        if not (evaluation / "metrics.json").exists():
            evaluate_detector(
                detector,
                test,
                evaluation,
                executor=self.executor,
                bars=self.bars,
                device=self.device,
                warn=self.tell,
            )
        metrics = read_json(evaluation / "metrics.json")
        record = detector.record
        steps = record.get("steps")
        return {
            **_head(cell),
            "status": "done",
            "sign": metrics.get("sign"),
            "steps": sum(steps.values()) if steps else None,
            "train_minutes": round(record.get("fit_seconds", 0.0) / 60.0, 2),
            "images_per_second": record.get("images_per_second"),
            "repeat": record.get("repeat"),
            **flatten(metrics),
            **self._versus(cell, evaluation),
            "metrics": metrics,
        }

    def _store(self, spec: CohortSpec, learn: Cohort, recipe: Recipe) -> PreparedStore:
        """The cohort's healthy training scans, prepared once for all methods."""
        healthy = learn.select(split="train", label="healthy")
        out = self.out / "stores" / f"{spec.name}-{recipe.digest}"
        with counted(self.bars, "prepare") as progress:
            store, failures = prepare_cohort(healthy, recipe, out, executor=self.executor, progress=progress)
        for failure in failures:
            self.tell(f"  left out: {failure.message}")
        return store

    def _versus(self, cell: Cell, evaluation: Path) -> dict[str, Any]:
        reference = self.spec.reference
        if reference is None or cell.label == reference:
            return {}
        other = self.out / "evaluations" / cell.cohort.name / f"{reference}-seed{cell.seed}"
        if not (other / "metrics.json").exists():
            return {}
        found = compare([other, evaluation])[0].get("voxel.ap")
        if found is None or found.difference is None:
            return {}
        low, high = found.ci or (None, None)
        return {
            "versus_reference": found.difference,
            "versus_lo": low,
            "versus_hi": high,
            "versus_p": found.p_value,
        }


def method_learns(cell: Cell) -> bool:
    """Whether a budget means anything to the cell's method."""
    from unlesion.methods.base import InputSpec

    method = get_method(cell.method.name)
    return bool(method(method.config_for(cell.method.preset), InputSpec()).stages())


def _head(cell: Cell) -> dict[str, Any]:
    return {
        "cohort": cell.cohort.name,
        "method": cell.label,
        "preset": cell.method.preset,
        "seed": cell.seed,
    }
