"""The repository's own benchmarks ask for nothing that is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cohorts import write_pictures
from unlesion.benchmark.plan import Cell, make_plan
from unlesion.benchmark.spec import CohortSpec, read_spec

SPECS = sorted((Path(__file__).resolve().parents[2] / "benchmarks").glob("*.yaml"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_methods_and_settings_of_a_benchmark_exist(path: Path, pictures: Path) -> None:
    spec = read_spec(path)
    # Its images need not be there: another cohort, with the settings of each of its own, stands for it.
    kinds = {(cohort.recipe, cohort.set) for cohort in spec.cohorts}
    for recipe, settings in kinds:
        cohort = CohortSpec(name="small", path=str(pictures), recipe=recipe, set=settings)
        plans = [
            make_plan(spec, Cell(method=method, cohort=cohort, seed=seed), folder=path.parent)
            for method in spec.methods
            for seed in spec.seeds_of(method)[:1]
        ]
        # Two rows that are the same but for their name would be one measurement, said twice.
        measured = [json.dumps(plan.evaluation, sort_keys=True) for plan in plans]
        assert len(set(measured)) == len(measured)
