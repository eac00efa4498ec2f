"""Driving a method's stages with Lightning: progress, checkpoints, exact resume, Ctrl-C."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from unlesion.errors import UnlesionError
from unlesion.methods.base import Stage
from unlesion.networks.precision import flushed_denormals, in_bfloat16
from unlesion.progress import Bars
from unlesion.training.budget import steps_per_stage
from unlesion.training.checkpoints import SafeCheckpointIO
from unlesion.training.config import TrainingConfig
from unlesion.training.history import EVERY, History
from unlesion.training.source import SliceSource
from unlesion.training.task import StagedTask

CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What a training came to: steps per stage, seconds spent in steps, images per second, precision."""

    steps: dict[str, int]
    seconds: float
    images_per_second: float
    precision: str


def fit_stages(
    *,
    network: nn.Module,
    stages: list[Stage],
    source: SliceSource,
    config: TrainingConfig,
    run: Path,
    seed: int,
    minutes: float | None,
    steps: str | int | None,
    resume: bool,
    device: str,
    bars: Bars,
) -> Fitted:
    """Train `network` in place; its weights are the averaged ones afterwards.

    Args:
        network: what learns, with fresh weights.
        stages: the method's stages.
        source: where batches come from.
        config: settings of training.
        run: folder for `checkpoints/` and `history.csv`.
        seed: of the run.
        minutes: budget of all stages together, or None where `steps` is given.
        steps: a total, or "stage=N,…".
        resume: go on from the last checkpoint, if there is one.
        device: "cpu", "cuda" or "auto".
        bars: shows progress.

    Raises:
        UnlesionError: a loss is not finite.
        KeyboardInterrupt: after Ctrl-C, with a checkpoint written.
    """
    shares = {stage.name: stage.share for stage in stages}
    lengths: Mapping[str, int | None]
    lengths = {name: None for name in shares} if steps is None else steps_per_stage(steps, shares)
    history = History(run / "history.csv", list(shares))
    checkpoint = run / "checkpoints" / "last.safetensors"
    precision = _precision(config.precision, device)
    with (
        bars("train", None) as advance,
        _first_interrupt_waits() as interrupted,
        _quiet_lightning(),
        flushed_denormals(),
    ):
        reporter = _Reporter(history, checkpoint, config.checkpoint_seconds, advance, interrupted)
        task = StagedTask(
            network=network,
            stages=stages,
            source=source,
            lengths=lengths,
            seconds=None if minutes is None else 60.0 * minutes,
            ema=config.ema,
            seed=seed,
            on_step=reporter.step,
            now=CLOCKS[config.clock],
        )
        reporter.task = task
        trainer = pl.Trainer(
            accelerator="gpu" if device.startswith("cuda") else "cpu",
            devices=1,
            precision=precision,
            max_steps=-1,
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            plugins=[SafeCheckpointIO()],
            callbacks=[reporter],
            default_root_dir=run,
        )
        saved = SafeCheckpointIO().load_checkpoint(checkpoint) if resume and checkpoint.exists() else None
        if saved is not None and saved["unlesion_place"]["stage"] >= len(stages):
            task.load_state_dict(saved["state_dict"])
            task.on_load_checkpoint(saved)
            history.resume(len(stages), 0)
        else:
            try:
                trainer.fit(task, ckpt_path=None if saved is None else str(checkpoint), weights_only=False)
            except SystemExit as stop:
                # What Lightning makes of a second Ctrl-C.
                raise KeyboardInterrupt from stop
    if interrupted.is_set() and task.place.stage < len(stages):
        raise KeyboardInterrupt
    history.write()
    done = {name: int(n or 0) for name, n in task.lengths.items()}
    images = sum(done[stage.name] * stage.batches for stage in stages) * source.batch
    seconds = task.place.seconds
    return Fitted(
        steps=done, seconds=seconds, images_per_second=images / max(seconds, 1e-9), precision=precision
    )


# Seconds that a due checkpoint waits for the end of a row of the history.
PATIENCE = 20.0


class _Reporter(Callback):
    """Writes history and checkpoints, moves the bar, and ends cleanly after Ctrl-C."""

    task: StagedTask

    def __init__(
        self, history: History, checkpoint: Path, every: float, advance: object, interrupted: threading.Event
    ) -> None:
        self.history = history
        self.checkpoint = checkpoint
        self.every = every
        self.advance = advance
        self.interrupted = interrupted
        self.last = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        place = self.task.place
        self.history.resume(place.stage, place.step)
        done = sum(int(self.task.lengths[stage.name] or 0) for stage in self.task.stages[: place.stage])
        if done + place.step:
            self.advance(done + place.step, total=self._total(place.step, None), already=True)  # type: ignore[operator]

    def step(self, stage: Stage, step: int, total: int | None, losses: Mapping[str, float]) -> None:
        """Take note of a step (called by the task)."""
        self.history.add(stage.name, step, self.task.place.seconds / 60.0, dict(losses))
        shown = losses.get("loss", next(iter(losses.values())))
        note = f"{stage.name} · loss {shown:.4g}"
        self.advance(1, note=note, total=self._total(step, total))  # type: ignore[operator]

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        stopping = self.interrupted.is_set()
        finished = self.task.place.stage >= len(self.task.stages)
        waited = time.monotonic() - self.last
        # A row of the history ends with the checkpoint if it can; steps of many seconds do not wait for that.
        due = waited >= self.every and (self.task.place.step % EVERY == 0 or waited >= self.every + PATIENCE)
        if stopping or finished or due:
            self._refuse_nonfinite_weights()
            self.history.write()
            trainer.save_checkpoint(self.checkpoint)
            self.last = time.monotonic()
        if stopping:
            trainer.should_stop = True

    def _refuse_nonfinite_weights(self) -> None:
        """A gradient may be lost while the loss still looks well; such weights must not be kept."""
        place, network = self.task.place, self.task.network
        if not all(bool(torch.isfinite(tensor).all()) for tensor in network.parameters()):
            name = self.task.stages[min(place.stage, len(self.task.stages) - 1)].name
            raise UnlesionError(
                f"training stopped at step {place.step} of stage {name!r}: the weights are not finite; "
                "try a lower learning rate (the card names its setting) or --set training.precision=32"
            )

    def _total(self, step: int, total: int | None) -> float | None:
        """Steps of all stages, guessed from shares while some lengths are unknown."""
        known = {s.name: self.task.lengths[s.name] for s in self.task.stages}
        if all(n is not None for n in known.values()):
            return float(sum(n or 0 for n in known.values()))
        share = sum(s.share for s in self.task.stages if known[s.name] is not None)
        steps = sum(n for n in known.values() if n is not None)
        return steps / share if share else None


def _precision(wanted: Literal["auto", "bf16", "32"], device: str) -> Literal["32-true", "bf16-mixed"]:
    """Lightning's name of the precision; bfloat16 only where the hardware multiplies in it."""
    return "bf16-mixed" if in_bfloat16(wanted, device) else "32-true"


@contextmanager
def _first_interrupt_waits() -> Iterator[threading.Event]:
    """The first Ctrl-C only sets a flag, so that a step is never half done; the second one is real."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.getsignal(signal.SIGINT)

    def handler(number: int, frame: object) -> None:
        flag.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, handler)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's hints about loggers, workers and devices are not for our users."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*num_workers.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
