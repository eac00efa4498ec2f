"""What a row of the grid is made of, and the identity by which it is recognised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlesion.benchmark.spec import BenchSpec, CohortSpec, MethodSpec, resolve
from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, Method
from unlesion.methods.registry import BATCH, get_method, preset_settings
from unlesion.networks import contrast_maps
from unlesion.prepare import Recipe, choose_recipe, is_store, load_recipe
from unlesion.scans import Cohort
from unlesion.scans.datasets import is_dataset
from unlesion.scoring import COMMON, ScoringConfig
from unlesion.settings import merged, nested, parse_settings, validated
from unlesion.training.budget import steps_per_stage
from unlesion.training.config import TrainingConfig


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

    def head(self) -> dict[str, Any]:
        """The columns that say which row it is."""
        return {
            "cohort": self.cohort.name,
            "method": self.label,
            "preset": self.method.preset,
            "seed": self.seed,
        }


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A cell with everything that decides its numbers.

    Attributes:
        learn: what is learnt from and calibrated on.
        test: what is tested on.
        recipe: how scans are prepared.
        settings: as `train` takes them.
        run: identity of the run: complete settings, so that a changed default makes another one. It does
            not depend on what is tested on, but for files of one manifest: the digest of what is learnt from is that of all
            rows that are chosen there, those of the test among them.
        evaluation: identity of the evaluation: the run's, and what is tested on.
        row: identity of the row: the evaluation's, and how the leaderboard calls it.
    """

    learn: Cohort
    test: Cohort
    recipe: Recipe
    settings: dict[str, dict[str, Any]]
    run: dict[str, Any]
    evaluation: dict[str, Any]
    row: dict[str, Any]


def make_plan(spec: BenchSpec, cell: Cell, *, folder: Path) -> Plan:
    """Open the cell's cohorts and complete its settings.

    Args:
        spec: the grid.
        cell: the row.
        folder: where the spec lies.

    Raises:
        BadInput: a cohort cannot be opened; unknown methods, presets or settings; values out of range.
    """
    learn, test = _cohorts(cell.cohort, folder)
    settings = parse_settings([*spec.set, *cell.cohort.set, *cell.method.set])
    method = get_method(cell.method.name)
    fixed = preset_settings(method, cell.method.preset)
    size, batch = int(fixed.pop("image_size")), int(fixed.pop("batch", BATCH))
    name = cell.cohort.recipe or choose_recipe(learn).name
    if cell.cohort.recipe and (beside := resolve(cell.cohort.recipe, folder)).is_file():
        # A file of one's own is relative to the spec, as all its paths are.
        name = str(beside)
    recipe = load_recipe(name, settings["recipe"], preset_size=size)
    config = validated(method.Config, merged(fixed, nested(settings["method"])), what="method")
    training = validated(TrainingConfig, {"batch": batch, **nested(settings["training"])}, what="training")
    scoring = validated(
        ScoringConfig, merged(dict(method.native), nested(settings["scoring"])), what="scoring"
    )
    stages = method(config, InputSpec(size=recipe.size)).stages()
    budget = spec.budget_of(cell.method)
    if stages and budget.steps is not None:
        # Refused now, not when the cohort is prepared.
        steps_per_stage(budget.steps, {stage.name: stage.share for stage in stages})
    run = {
        "method": method.name,
        "method_version": method.version,
        "preset": cell.method.preset,
        "config": config.model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
        "scoring": scoring.model_dump(mode="json"),
        "recipe": recipe.digest,
        "learn": learn.digest,
        "seed": cell.seed,
        **_scored(scoring),
        **_recontrasted(training),
        **_shared(method, nested(settings["scoring"])),
        # A budget means nothing to a method that is fitted in closed form.
        "budget": budget._asdict() if stages else None,
    }
    evaluation = {**run, "test": test.digest, "split": cell.cohort.test_split}
    return Plan(
        learn=learn,
        test=test,
        recipe=recipe,
        settings=settings,
        run=run,
        evaluation=evaluation,
        row={"label": cell.label, "cohort_label": cell.cohort.name, **evaluation},
    )


def _scored(scoring: ScoringConfig) -> dict[str, int]:
    """The version of the scoring's code, where rows of an earlier one would differ.

    2: of a method's own map without values below 0, read against healthy scans, only what is more than usual counts, and the
    smallest SD is a share of the map's size.
    """
    return {"scored": 2} if scoring.standardise and "map:" in scoring.rule else {}


def _recontrasted(training: TrainingConfig) -> dict[str, int]:
    """The version of the random maps of grey values, where there are any."""
    return {"recontrasted": contrast_maps.VERSION} if training.recontrast else {}


def _shared(method: type[Method], over: Mapping[str, Any]) -> dict[str, Any]:
    """What the shared scoring takes over from the settings where the method's own scoring has it anyway: nothing else tells."""
    same = {name: over[name] for name in COMMON if name in over and method.native.get(name) == over[name]}
    return {"shared": same} if same else {}


def learns_alike(run: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two runs have the same weights, by their identities: scoring and settings of detection may differ.

    The other may be of a method that is no longer there.
    """
    if run["method"] != other.get("method"):
        return False
    at_detection = get_method(run["method"]).Config.at_detection

    def learning(identity: Mapping[str, Any]) -> dict[str, Any]:
        config = {name: value for name, value in identity["config"].items() if name not in at_detection}
        kept = {
            name: value for name, value in identity.items() if name not in ("scoring", "scored", "shared")
        }
        return {**kept, "config": config}

    return learning(run) == learning(other)


def _cohorts(spec: CohortSpec, folder: Path) -> tuple[Cohort, Cohort]:
    path, root = _place(spec.path, spec.root, folder)
    learn = Cohort.open(path, root=root, where=spec.where, channels=spec.channels).with_splits()
    test_path, test_root = path, root
    if spec.test_path is not None:
        test_path, test_root = _place(spec.test_path, spec.test_root, folder)
    elif spec.test_root is not None:
        raise BadInput(
            f"cohort {spec.name}: test_root without test_path; name the manifest or public dataset that lies there"
        )
    test_where = spec.test_where
    if test_where is None:
        test_where = spec.where if spec.test_path is None else ()
    test = Cohort.open(test_path, root=test_root, where=test_where, channels=spec.channels).labelled()
    if spec.test_split == "all":
        return learn, test
    test = test.select(split=spec.test_split.split(","))
    if len(test) == 0:
        raise BadInput(
            f"cohort {spec.name}: no scans in split {spec.test_split} to test on; give the manifest a column split, or choose "
            'others with test_split ("all": every scan) or test_where'
        )
    return learn, test


def _place(text: str, root: str | None, folder: Path) -> tuple[Path, Path | None]:
    """A manifest or folder, and what the paths of a manifest are relative to; or the name of a public dataset and where that lies."""
    place = None if root is None else resolve(root, folder)
    if is_dataset(text) and not (root is None and resolve(text, folder).exists()):
        return Path(text), place
    path = resolve(text, folder)
    if "${" in text and not path.exists():
        raise BadInput(f"{path}: no such file or folder; it was read from {text}: set that variable")
    if is_store(path):
        raise BadInput(
            f"{path}: a prepared store; a benchmark prepares on its own, give the manifest or folder"
        )
    return path, place
