"""Phases of a step that look at one batch, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unlesion.methods.base import Phase, Stage, StepContext
from unlesion.methods.batch import Batch
from unlesion.prepare import PreparedStore, load_recipe, prepare_cohort
from unlesion.progress import silent
from unlesion.scans import Cohort
from unlesion.training.config import TrainingConfig
from unlesion.training.fit import Fitted, fit_stages
from unlesion.training.source import SliceSource

SGD = partial(torch.optim.SGD, lr=0.01)


@pytest.fixture(scope="module")
def store(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedStore:
    recipe = load_recipe("slices", {"size": 32})
    return prepare_cohort(Cohort.open(pictures), recipe, tmp_path_factory.mktemp("store"))[0]


class Two(nn.Module):
    """Two numbers that learn."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(1, 1)
        self.second = nn.Linear(1, 1)


class Diary:
    """Losses that note down what they were given."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Tensor, float]] = []
        self.found: list[Tensor | None] = []

    def phase(self, name: str, part: str, *, repeats: int = 1, same_batch: bool = False) -> Phase:
        def loss(network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
            draw = float(torch.rand((), generator=context.generator))
            self.seen.append((name, batch.seeds, draw))
            self.found.append(context.shared.get("seeds"))
            context.shared["seeds"] = batch.seeds
            return {"loss": getattr(network, part)(torch.ones(1, 1)).square().mean()}

        return Phase(
            name=name, parts=(part,), loss=loss, optimizer=SGD, repeats=repeats, same_batch=same_batch
        )


def fit(store: PreparedStore, run: Path, stage: Stage) -> Fitted:
    return fit_stages(
        network=Two(),
        stages=[stage],
        source=SliceSource(store, np.arange(8), batch=2, seed=0),
        config=TrainingConfig(batch=2),
        run=run,
        seed=0,
        minutes=None,
        steps=3,
        resume=False,
        device="cpu",
        bars=silent,
    )


def test_the_batch_and_what_was_left_about_it_are_handed_on(store: PreparedStore, tmp_path: Path) -> None:
    diary = Diary()
    phases = (diary.phase("a", "first"), diary.phase("b", "second", repeats=2, same_batch=True))
    stage = Stage(name="s", phases=phases)
    assert stage.batches == 1
    fitted = fit(store, tmp_path, stage)
    assert [name for name, _, _ in diary.seen] == ["a", "b", "b"] * 3
    batches = [seeds for _, seeds, _ in diary.seen]
    for step in range(3):
        first, second, third = batches[3 * step : 3 * step + 3]
        assert torch.equal(first, second) and torch.equal(second, third)
        # Nothing is left of the last step; the later phases find what this one left.
        assert diary.found[3 * step] is None
        assert torch.equal(diary.found[3 * step + 1], first)  # type: ignore[arg-type]
    assert not torch.equal(batches[0], batches[3])
    # Chance is new in every turn.
    assert len({draw for _, _, draw in diary.seen}) == 9
    assert fitted.images_per_second == pytest.approx(3 * 2 / fitted.seconds)


def test_what_a_stage_sees_first_does_not_depend_on_the_phases_that_share(
    store: PreparedStore, tmp_path: Path
) -> None:
    alone, together = Diary(), Diary()
    fit(store, tmp_path / "alone", Stage(name="s", phases=(alone.phase("a", "first"),)))
    shares = together.phase("b", "second", same_batch=True)
    fit(store, tmp_path / "both", Stage(name="s", phases=(together.phase("a", "first"), shares)))
    first = [(seeds.tolist(), draw) for name, seeds, draw in together.seen if name == "a"]
    assert first == [(seeds.tolist(), draw) for _, seeds, draw in alone.seen]


def test_fresh_batches_stay_fresh(store: PreparedStore, tmp_path: Path) -> None:
    diary = Diary()
    stage = Stage(name="s", phases=(diary.phase("a", "first", repeats=2), diary.phase("b", "second")))
    assert stage.batches == 3
    fit(store, tmp_path, stage)
    assert diary.found == [None] * 9
    assert len({tuple(seeds.tolist()) for _, seeds, _ in diary.seen}) > 3


def test_the_first_phase_has_nobody_to_share_with() -> None:
    with pytest.raises(ValueError, match="no phase before 'a'"):
        Stage(name="s", phases=(Diary().phase("a", "first", same_batch=True),))
