"""The grid that a benchmark goes through, as a readable YAML file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field

from unlesion.errors import BadInput
from unlesion.settings import validated


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MethodSpec(_Part):
    """One method of the grid.

    Attributes:
        name: of the method.
        label: how the leaderboard calls it; the name by default.
        preset: "cpu" by default.
        set: settings as in `--set`, such as "method.beta=2".
        seeds: its own, instead of the grid's.
        minutes: its own budget, instead of the grid's; or
        steps: the same in steps: a total, or "stage=N,stage=N".
    """

    name: str
    label: str = ""
    preset: str = "cpu"
    set: tuple[str, ...] = ()
    seeds: tuple[int, ...] | None = None
    minutes: float | None = Field(None, gt=0)
    steps: int | str | None = None


class CohortSpec(_Part):
    """One cohort of the grid: what is learnt from, and what is tested on.

    Attributes:
        name: how the leaderboard calls it.
        path: manifest or folder, or the name of a public dataset that lies in `root`; `${VARIABLE}` and `${VARIABLE:-default}` are filled in from the
            environment, other relative paths are relative to the spec file.
        root: the folder of a public dataset, or what a manifest's paths are relative to; written like a path.
        where: conditions on the rows that are learnt from.
        test_path: what is tested on, by default `path` in `root`.
        test_root: the same for `test_path`.
        test_where: conditions on the rows that are tested on; by default the same, or none with a `test_path`.
        test_split: splits that are tested on, or "all": public datasets have none.
        channels: modalities that are joined.
        recipe: name or file; chosen from the cohort if left out.
        set: settings for this cohort, after the grid's and before the method's.
    """

    name: str
    path: str
    root: str | None = None
    where: tuple[str, ...] = ()
    test_path: str | None = None
    test_root: str | None = None
    test_where: tuple[str, ...] | None = None
    test_split: str = "test"
    channels: tuple[str, ...] = ()
    recipe: str | None = None
    set: tuple[str, ...] = ()

    def learns_like(self, other: CohortSpec) -> bool:
        """Whether both learn from the same, so that one training serves both."""
        mine, theirs = ((c.path, c.root, c.where, c.channels, c.recipe, c.set) for c in (self, other))
        return mine == theirs


class Budget(NamedTuple):
    """What a training may take: one of the two, the other is None."""

    minutes: float | None
    steps: int | str | None


class Wanted(NamedTuple):
    """Which rows of a grid are to be measured: labels of methods, and names of cohorts."""

    methods: frozenset[str]
    cohorts: frozenset[str]


class BenchSpec(_Part):
    """A benchmark: every method on every cohort with every seed, at one budget unless a method has its own.

    Attributes:
        methods: names, or names with settings.
        cohorts: what is learnt from and tested on.
        seeds: one row each.
        minutes: budget of every training; or
        steps: the same number of steps for every training.
        reference: label of the method that the others are compared with, scan by scan.
        set: settings for all methods.
    """

    methods: tuple[MethodSpec, ...] = Field(min_length=1)
    cohorts: tuple[CohortSpec, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = (0,)
    minutes: float | None = Field(None, gt=0)
    steps: int | None = Field(None, gt=0)
    reference: str | None = None
    set: tuple[str, ...] = ()

    def seeds_of(self, method: MethodSpec) -> tuple[int, ...]:
        """The seeds of a method's rows."""
        return self.seeds if method.seeds is None else method.seeds

    def part_of(self, *, methods: Sequence[str], cohorts: Sequence[str]) -> Wanted:
        """Part of the grid, by labels of methods and names of cohorts; none of a kind is all of it.

        Raises:
            BadInput: a label or name that the grid does not have.
        """
        labels = [method.label or method.name for method in self.methods]
        names = [cohort.name for cohort in self.cohorts]
        for what, wanted, there in (("methods", methods, labels), ("cohorts", cohorts, names)):
            unknown = [name for name in wanted if name not in there]
            if unknown:
                raise BadInput(f"--{what} {unknown[0]}: the benchmark has {', '.join(there)}")
        return Wanted(frozenset(methods or labels), frozenset(cohorts or names))

    def budget_of(self, method: MethodSpec) -> Budget:
        """The budget of a method's trainings."""
        if method.minutes is None and method.steps is None:
            return Budget(self.minutes, self.steps)
        return Budget(method.minutes, method.steps)


def read_spec(path: Path) -> BenchSpec:
    """Read a spec file; a method may be given by its name alone.

    Raises:
        BadInput: not readable, unknown names, no budget or two.
    """
    try:
        values: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise BadInput(f"{path}: expected methods, cohorts and a budget; see the how-to on benchmarks")
    methods = values.get("methods") or []
    if not isinstance(methods, list):
        raise BadInput(f"{path}: methods must be a list of names")
    values["methods"] = [{"name": m} if isinstance(m, str) else m for m in methods]
    spec = validated(BenchSpec, values, what=str(path))
    if (spec.minutes is None) == (spec.steps is None):
        raise BadInput(f"{path}: give a budget, either minutes or steps")
    for method in spec.methods:
        if method.minutes is not None and method.steps is not None:
            raise BadInput(f"{path}: {method.label or method.name}: give minutes or steps, not both")
    labels = [method.label or method.name for method in spec.methods]
    if len(set(labels)) < len(labels):
        raise BadInput(f"{path}: two methods with one label; set label: on one of them")
    names = [cohort.name for cohort in spec.cohorts]
    # They become folders.
    if odd := [name for name in (*labels, *names) if not name or name[0] == "." or set(name) & set("/\\\0")]:
        raise BadInput(
            f"{path}: {odd[0]!r} is no name for a folder; give another label or name, without slashes"
        )
    if not spec.seeds or min(s for m in spec.methods for s in (*spec.seeds, *(m.seeds or ()))) < 0:
        raise BadInput(f"{path}: seeds must be whole numbers from 0, at least one")
    if len(set(names)) < len(names) or len(set(spec.seeds)) < len(spec.seeds):
        raise BadInput(f"{path}: two cohorts with one name, or a seed given twice")
    if spec.reference is not None and spec.reference not in labels:
        raise BadInput(f"{path}: the reference {spec.reference!r} is none of the methods")
    return spec


def resolve(text: str, folder: Path) -> Path:
    """A cohort's path with the environment filled in."""
    done = ""
    while "${" in text:
        before, _, rest = text.partition("${")
        inside, closed, text = rest.partition("}")
        if not closed:
            raise BadInput(f"{done}{before}${{{inside}: a brace is not closed; write ${{VARIABLE}}")
        name, _, default = inside.partition(":-")
        value = os.environ.get(name) or default
        if not value:
            raise BadInput(f"{done}{before}${{{inside}}}{text}: the environment variable {name} is not set")
        # What a variable holds is taken as it is.
        done += before + value
    text = done + text
    path = Path(text)
    return path if path.is_absolute() else folder / path
