"""The one Lightning task: it drives any method's list of stages."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from unlesion.errors import UnlesionError
from unlesion.methods.base import Phase, Stage, StepContext
from unlesion.methods.batch import Batch
from unlesion.seeds import seed_of
from unlesion.training.budget import StageClock, progress_at, rate_factor
from unlesion.training.source import SliceSource


@dataclass
class Place:
    """Where a training stands; saved with every checkpoint.

    Attributes:
        stage: number of the stage under way.
        step: number of the step to come.
        seconds: from step to step, so with what happens between them (history, checkpoints).
    """

    stage: int = 0
    step: int = 0
    seconds: float = 0.0


class StagedTask(pl.LightningModule):
    """Runs the stages one after another, the phases of each step in order.

    Optimisation is manual because adversarial stages have several optimisers. Batches are drawn here
    and not by a loader, because what a step sees depends on its stage and must be the same after a
    resume; the loader only beats time.

    Args:
        network: what learns.
        stages: the method's stages.
        source: where batches come from.
        lengths: steps per stage by name, or None where `seconds` decides.
        seconds: budget of the whole training, split by the stages' shares.
        ema: decay of the averaged weights.
        seed: of the run.
        on_step: called after every step with (stage, step, total or None, named losses).
        now: the clock, in seconds.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        stages: list[Stage],
        source: SliceSource,
        lengths: Mapping[str, int | None],
        seconds: float | None,
        ema: float,
        seed: int,
        on_step: Callable[[Stage, int, int | None, Mapping[str, float]], None],
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.averaged = AveragedModel(network, multi_avg_fn=_ramped_average(ema), use_buffers=False)
        self.stages = stages
        self.source = source
        self.lengths: dict[str, int | None] = dict(lengths)
        self.budget = seconds
        self.seed = seed
        self.on_step = on_step
        self.now = now
        self.place = Place()
        self.clock: StageClock | None = None
        self._learning: tuple[int, int] | None = None
        self._timed: list[float] = []
        self._last_step: float | None = None

    @property
    def stage(self) -> Stage:
        """The stage under way."""
        return self.stages[self.place.stage]

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimiser per phase of every stage, in order."""
        made = []
        for stage in self.stages:
            for phase in stage.phases:
                optimizer = phase.optimizer(self._parameters_of(phase))
                for group in optimizer.param_groups:
                    group["initial_lr"] = group["lr"]
                made.append(optimizer)
        return made

    def train_dataloader(self) -> Any:
        """Beats time without end; `training_step` says when to stop."""
        return torch.utils.data.DataLoader(_Beats(), batch_size=None)

    def training_step(self, beat: Any, index: int) -> None:
        """One step of the stage under way: every phase, as often as it repeats."""
        began = self.now()
        stage, place = self.stage, self.place
        total = self.lengths[stage.name]
        if place.step == 0 and stage.before is not None:
            stage.before(self.network)
        if self.clock is None and total is None and self.budget is not None:
            self.clock = StageClock(self.budget * stage.share, self._timed)
            self._timed = []
        factor = rate_factor(place.step, total, stage.schedule)
        progress = progress_at(place.step, total)
        optimizers = self._stage_optimizers()
        number = place.step * stage.batches
        batch: Batch | None = None
        shared: dict[str, torch.Tensor] = {}
        losses: dict[str, torch.Tensor] = {}
        for turn, (phase, optimizer) in enumerate(zip(stage.phases, optimizers, strict=True)):
            self._let_learn(turn, phase)
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
            for repeat in range(phase.repeats):
                count = place.step * phase.repeats + repeat if phase.same_batch else number
                seed = seed_of(self.seed, stage.name, phase.name, count)
                # Dropout and the like draw from torch's own generator: it is set anew each time,
                # so that nothing about random states needs saving.
                torch.manual_seed(seed)
                generator = torch.Generator(device="cpu").manual_seed(seed)
                if not phase.same_batch or batch is None:
                    batch = self.source.draw(stage.name, number).to(self.device)
                    shared = {}
                    number += 1
                context = StepContext(generator=generator, progress=progress, step=place.step, shared=shared)
                named = phase.loss(self.network, batch, context)
                optimizer.zero_grad(set_to_none=True)
                self.manual_backward(named["loss"])
                if phase.clip_norm is not None:
                    torch.nn.utils.clip_grad_norm_(self._parameters_of(phase), phase.clip_norm)
                optimizer.step()
                prefix = "" if len(stage.phases) == 1 else f"{phase.name}."
                losses.update({prefix + name: value.detach() for name, value in named.items()})
        self.averaged.update_parameters(self.network)
        values = {name: float(value) for name, value in losses.items()}
        self._refuse_nonfinite(stage, values)
        # From the end of the last step to the end of this one, so that checkpoints and the loop around
        # the steps count too. Before the first step of a process is no training.
        now = self.now()
        duration = now - (began if self._last_step is None else self._last_step)
        self._last_step = now
        place.seconds += duration
        if self.clock is not None and self.lengths[stage.name] is None:
            self.lengths[stage.name] = self.clock.add(duration)
        self.on_step(stage, place.step, self.lengths[stage.name], values)
        place.step += 1
        if self.lengths[stage.name] is not None and place.step >= self.lengths[stage.name]:  # type: ignore[operator]
            self._finish_stage()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add where the training stands."""
        checkpoint["unlesion_place"] = {
            "stage": self.place.stage,
            "step": self.place.step,
            "seconds": self.place.seconds,
            "lengths": dict(self.lengths),
            # A stage whose length is not known yet goes on being timed after a resume.
            "timed": self._durations(),
        }

    def _durations(self) -> list[float]:
        """Of the steps of a stage whose length is not known yet; the next stage is timed by its own."""
        known = self.place.stage >= len(self.stages) or self.lengths[self.stage.name] is not None
        return [] if self.clock is None or known else list(self.clock.durations)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up where the checkpoint stood."""
        saved = checkpoint["unlesion_place"]
        self.place = Place(stage=saved["stage"], step=saved["step"], seconds=saved["seconds"])
        self.lengths.update({name: n for name, n in saved["lengths"].items() if n is not None})
        self._timed = list(saved.get("timed", []))
        self.clock, self._last_step = None, None

    def adopt_averages(self) -> None:
        """Replace the weights by their averages."""
        self.network.load_state_dict(copy.deepcopy(self.averaged.module.state_dict()))

    def _finish_stage(self) -> None:
        # The next stage builds on the weights that will be kept, which are the averaged ones.
        self.adopt_averages()
        self.averaged.n_averaged.zero_()
        self.clock = None
        self._learning = None
        if self.place.stage + 1 == len(self.stages):
            self.trainer.should_stop = True
            self.place.stage += 1
        else:
            self.place.stage += 1
            self.place.step = 0

    def _parameters_of(self, phase: Phase) -> list[nn.Parameter]:
        children = dict(self.network.named_children())
        return [parameter for part in phase.parts for parameter in children[part].parameters()]

    def _stage_optimizers(self) -> list[Any]:
        every = self.optimizers(use_pl_optimizer=True)
        every = every if isinstance(every, list) else [every]
        first = sum(len(stage.phases) for stage in self.stages[: self.place.stage])
        return every[first : first + len(self.stage.phases)]

    def _let_learn(self, turn: int, phase: Phase) -> None:
        """Only the phase's parts take gradients; the rest is frozen, which also saves time."""
        wanted = (self.place.stage, turn)
        if self._learning == wanted:
            return
        self._learning = wanted
        for name, child in self.network.named_children():
            child.requires_grad_(name in phase.parts)
            child.train(name in phase.parts or name in phase.playing)

    def _refuse_nonfinite(self, stage: Stage, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if value != value or value in (float("inf"), float("-inf")):
                raise UnlesionError(
                    f"training stopped at step {self.place.step} of stage {stage.name!r}: {name} is {value}; "
                    "try a lower learning rate (the card names its setting) or --set training.precision=32"
                )


class _Beats(torch.utils.data.IterableDataset):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        while True:
            yield 0


def _ramped_average(decay: float) -> Callable[..., None]:
    """EMA whose decay grows from 0.1 to `decay`, so that short trainings do not keep random weights."""

    @torch.no_grad()
    def update(averages: Any, currents: Any, count: Any) -> None:
        steps = float(count)
        rate = min(decay, (1.0 + steps) / (10.0 + steps))
        torch._foreach_lerp_(list(averages), list(currents), 1.0 - rate)

    return update
