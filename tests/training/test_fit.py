"""Stages of the built-in methods: resume, the clock, and losses that are lost."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.methods.scenes import tiny
from tests.methods.toy import Toy
from unlesion.cli.app import run as command
from unlesion.methods.base import InputSpec, StepContext
from unlesion.methods.batch import Batch
from unlesion.methods.registry import get_method, method_names, preset_settings
from unlesion.prepare import PreparedStore, load_recipe, prepare_cohort
from unlesion.progress import Advance, Bars, silent
from unlesion.scans import Cohort
from unlesion.training.budget import StageClock
from unlesion.training.checkpoints import SafeCheckpointIO
from unlesion.training.config import TrainingConfig
from unlesion.training.fit import CLOCKS, Fitted, fit_stages
from unlesion.training.source import SliceSource
from unlesion.training.task import StagedTask, _ramped_average

STEPS = 12


@pytest.fixture(scope="module")
def store(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedStore:
    recipe = load_recipe("slices", {"size": 32})
    return prepare_cohort(Cohort.open(pictures), recipe, tmp_path_factory.mktemp("store"))[0]


def calling(at_step: Callable[[int], None]) -> Bars:
    """Bars that call `at_step` with the number of steps done."""

    @contextmanager
    def bars(label: str, total: float | None = None) -> Iterator[Advance]:
        done = 0

        def advance(amount: float = 1.0, *, note: str = "", total: float | None = None) -> None:
            nonlocal done
            done += int(amount)
            at_step(done)

        yield advance

    return bars


def fit(
    name: str,
    store: PreparedStore,
    run: Path,
    *,
    bars: Bars = silent,
    resume: bool = False,
    config: TrainingConfig = TrainingConfig(batch=4),  # noqa: B008
    minutes: float | None = None,
) -> tuple[nn.Module, Fitted]:
    method_class = get_method(name)
    fixed = preset_settings(method_class, "tiny")
    size = int(fixed.pop("image_size"))
    fixed.pop("batch", None)
    assert size == 32
    method = method_class(method_class.Config.model_validate(fixed), InputSpec(size=size))
    torch.manual_seed(0)
    network = method.build()
    fitted = fit_stages(
        network=network,
        stages=method.stages(),
        source=SliceSource(store, np.arange(8), batch=4, seed=0),
        config=config,
        run=run,
        seed=0,
        minutes=minutes,
        steps=STEPS if minutes is None else None,
        resume=resume,
        device="cpu",
        bars=bars,
    )
    return network, fitted


@pytest.mark.parametrize("name", [name for name in method_names() if tiny(name).stages()])
def test_an_interrupted_training_ends_with_the_same_weights(
    store: PreparedStore, tmp_path: Path, name: str
) -> None:
    def interrupt(done: int) -> None:
        if done == 7:
            signal.raise_signal(signal.SIGINT)

    whole, _ = fit(name, store, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(name, store, tmp_path / "broken", bars=calling(interrupt))
    saved = SafeCheckpointIO().load_checkpoint(tmp_path / "broken/checkpoints/last.safetensors")
    place = saved["unlesion_place"]
    assert sum(list(place["lengths"].values())[: place["stage"]]) + place["step"] == 7
    resumed, _ = fit(name, store, tmp_path / "broken", resume=True)
    expected, found = whole.state_dict(), resumed.state_dict()
    assert expected.keys() == found.keys()
    for key, tensor in expected.items():
        assert torch.equal(tensor, found[key]), key


@pytest.mark.parametrize(
    ("name", "turn", "modes"),
    [
        ("si-vae", "_encoder_turn", {"encoder": True, "decoder": True}),
        ("si-vae", "_decoder_turn", {"encoder": True, "decoder": True}),
        ("f-anogan", "_encoder_loss", {"encoder": True, "generator": False, "critic": False}),
    ],
)
def test_frozen_parts_do_not_learn_and_only_those_that_play_stay_in_training_mode(
    store: PreparedStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    turn: str,
    modes: Mapping[str, bool],
) -> None:
    method = get_method(name)
    original, seen = getattr(method, turn), []

    def watched(self: Any, network: nn.Module, *rest: Any) -> Any:
        parts = dict(network.named_children())
        learning = {part for part in parts if next(parts[part].parameters()).requires_grad}
        seen.append((learning, {part: parts[part].training for part in parts}))
        return original(self, network, *rest)

    monkeypatch.setattr(method, turn, watched)
    fit(name, store, tmp_path / "run")
    assert seen
    for learning, training in seen:
        assert len(learning) == 1
        assert training == dict(modes)


def test_the_processors_clock_takes_no_notice_of_others(store: PreparedStore, tmp_path: Path) -> None:
    pause = 0.05
    bars = calling(lambda done: time.sleep(pause))
    began, computed = time.perf_counter(), time.process_time()
    config = TrainingConfig(batch=4, clock="processor")
    _, fitted = fit("ae", store, tmp_path / "run", bars=bars, config=config)
    assert 0 < fitted.seconds <= time.process_time() - computed
    assert time.perf_counter() - began >= (STEPS - 1) * pause
    assert "clock" in config.model_dump()
    assert "clock" not in TrainingConfig().model_dump()


def test_time_between_steps_counts(store: PreparedStore, tmp_path: Path) -> None:
    pause = 0.05
    _, fitted = fit("ae", store, tmp_path / "run", bars=calling(lambda done: time.sleep(pause)))
    # What comes after the last step of a process is not waited for by a next one.
    assert fitted.seconds >= (STEPS - 1) * pause
    assert fitted.images_per_second <= STEPS * 4 / ((STEPS - 1) * pause)


def test_the_next_stage_is_timed_by_its_own_steps(store: PreparedStore) -> None:
    """Durations are kept for a stage whose length they still decide, and for no other."""
    method_class = get_method("f-anogan")
    fixed = preset_settings(method_class, "tiny")
    size, batch = int(fixed.pop("image_size")), int(fixed.pop("batch", 4))
    method = method_class(method_class.Config.model_validate(fixed), InputSpec(size=size))
    stages = method.stages()
    task = StagedTask(
        network=method.build(),
        stages=stages,
        source=SliceSource(store, np.arange(len(store.images)), batch=batch, seed=0),
        lengths={stage.name: None for stage in stages},
        seconds=60.0,
        ema=0.9,
        seed=0,
        on_step=lambda *words: None,
    )
    task.clock = StageClock(30.0, [0.1] * 6)
    saved: dict[str, Any] = {}
    task.on_save_checkpoint(saved)
    assert saved["unlesion_place"]["timed"] == [0.1] * 6
    task.lengths[stages[0].name] = 300
    task.on_save_checkpoint(saved)
    assert saved["unlesion_place"]["timed"] == []


def test_time_between_interruption_and_resume_does_not_count(store: PreparedStore, tmp_path: Path) -> None:
    def interrupt(done: int) -> None:
        if done == 5:
            signal.raise_signal(signal.SIGINT)

    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        fit("ae", store, tmp_path / "run", bars=calling(interrupt))
    trained = time.perf_counter() - began
    time.sleep(3.0)
    began = time.perf_counter()
    _, fitted = fit("ae", store, tmp_path / "run", resume=True)
    assert fitted.seconds <= trained + time.perf_counter() - began


Draw = Callable[[Toy, nn.Module, Batch, StepContext], Mapping[str, Tensor]]
LOST_AT = 30


def loss_is_lost(draw: Draw) -> Draw:
    def lost(self: Toy, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        loss = draw(self, network, batch, context)["loss"]
        return {"loss": loss * float("nan") if context.step == LOST_AT else loss}

    return lost


def gradient_is_lost(draw: Draw) -> Draw:
    def lost(self: Toy, network: nn.Module, batch: Batch, context: StepContext) -> Mapping[str, Tensor]:
        loss = draw(self, network, batch, context)["loss"]
        if context.step == LOST_AT - 1:
            # The root's slope at 0 has no bound, and 0 times that is no number.
            loss = loss + (loss * 0.0).sqrt()
        return {"loss": loss}

    return lost


@pytest.mark.parametrize(
    ("breaking", "words"),
    [
        (loss_is_lost, [f"step {LOST_AT} ", "stage 'first'", "loss is nan", "learning rate"]),
        (gradient_is_lost, [f"step {LOST_AT} ", "stage 'first'", "weights are not finite"]),
    ],
)
def test_what_is_not_a_number_stops_in_words_and_is_not_kept(
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    breaking: Callable[[Draw], Draw],
    words: list[str],
) -> None:
    monkeypatch.setattr(Toy, "_draw", breaking(Toy._draw))
    out = tmp_path / "run"
    options: list[Any] = ["--method", Toy.name, "--preset", "tiny", "--steps", 80, "--out", out, "--jobs", 1]
    options += ["--set", "training.checkpoint_seconds=0.001", "--device", "cpu"]
    assert command(["train", str(pictures), *map(str, options)]) == 1
    complaint = capsys.readouterr().err
    assert all(word in complaint for word in words), complaint
    assert "Traceback" not in complaint
    assert not (out / "detector.json").exists()
    saved = SafeCheckpointIO().load_checkpoint(out / "checkpoints" / "last.safetensors")
    assert 0 < saved["unlesion_place"]["step"] <= LOST_AT
    assert all(bool(torch.isfinite(tensor).all()) for tensor in saved["state_dict"].values())


def test_weights_that_are_kept_are_averages() -> None:
    """Shares the wrong way round would keep nearly the last weights, and no other test would see it."""
    average, now = torch.zeros(1), torch.ones(1)
    _ramped_average(0.9)([average], [now], 5.0)
    # Six of fifteen parts of what was, early on; later no more than the decay.
    assert float(average) == pytest.approx(1 - 6 / 15)
    average.zero_()
    _ramped_average(0.9)([average], [now], 10_000.0)
    assert float(average) == pytest.approx(0.1)


def test_a_training_ends_with_the_averages(store: PreparedStore, tmp_path: Path) -> None:
    whole, _ = fit("ae", store, tmp_path / "run")
    last, _ = fit("ae", store, tmp_path / "last", config=TrainingConfig(batch=4, ema=0.0))
    state, plain = whole.state_dict(), last.state_dict()
    weights = [name for name, value in state.items() if value.is_floating_point() and "running" not in name]
    assert any(not torch.equal(state[name], plain[name]) for name in weights)


def test_minutes_are_shared_among_stages(
    store: PreparedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on by a hundredth of a second whenever it is looked at."""
    looks = itertools.count()
    monkeypatch.setitem(CLOCKS, "wall", lambda: 0.01 * next(looks))
    _, fitted = fit(Toy.name, store, tmp_path / "run", minutes=0.05)
    first, second = fitted.steps["first"], fitted.steps["second"]
    assert first / second == pytest.approx(7 / 3, rel=0.15)
    assert pytest.approx(first * 3.0 / (first + second), rel=0.1) == 0.7 * 3.0
