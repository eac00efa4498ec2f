"""Method: how one idea of the literature is built, trained and asked for evidence.

A method is plain torch and knows nothing of files, of Lightning or of evaluation. Adding one is one
file: a `Config`, presets, `build`, `stages` (or `fit`), `explain`, a citation and its deviations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from unlesion.methods.batch import Batch, Evidence


class MethodConfig(BaseModel):
    """Base of every method's settings: the same in YAML, in `--set method.x=…` and `detector.json`.

    Class attributes:
        at_detection: settings that training does not hang on: two runs that differ in nothing else have the same weights.
    """

    at_detection: ClassVar[frozenset[str]] = frozenset()
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What the images of a run look like.

    Attributes:
        channels: number of channels.
        size: pixels along each in-plane side (images are square).
        dims: 2 for slices, 3 for volumes.
        modalities: names of the channels, "" unknown; of one scan, where there are several modalities.
        conditions: modalities seen in training, sorted, as `networks.condition.condition_name` writes them.
    """

    channels: int = 1
    size: int = 64
    dims: int = 2
    modalities: tuple[str, ...] = ("",)
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """What a loss may know about the moment in training.

    Attributes:
        generator: all randomness of this step comes from here (it depends on seed, stage, step and
            phase alone, so that an interrupted training resumes exactly).
        progress: 0 to 1 at the stage's last step; 0 during the common warm-up of the stage, when its
            length may not be known yet.
        step: number of the step inside its stage, from 0.
        shared: what the losses of earlier phases left behind about this very batch, for phases with
            `same_batch`; it begins empty with every fresh batch.
    """

    generator: torch.Generator
    progress: float
    step: int
    shared: dict[str, Tensor] = field(default_factory=dict)


# (network, batch, context) -> named scalars; "loss" is the one that is minimised, the rest is logged.
Loss = Callable[[nn.Module, Batch, StepContext], Mapping[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One optimiser's turn in a training step; an adversarial game has two or more.

    Attributes:
        name: for logs and checkpoints.
        parts: names of the network's children that learn; all others are frozen meanwhile.
        loss: computes the named losses.
        optimizer: makes the optimiser of those parameters.
        repeats: how often the phase runs in a step, each time on a fresh batch (WGAN critics: 5).
        clip_norm: gradient norm is clipped to this, or None.
        playing: names of frozen children that stay in training mode all the same (batch statistics); other
            frozen children are in evaluation mode.
        same_batch: take no fresh batch but the last one of the phase before, with `StepContext.shared`.
    """

    name: str
    parts: tuple[str, ...]
    loss: Loss
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
    repeats: int = 1
    clip_norm: float | None = None
    playing: tuple[str, ...] = ()
    same_batch: bool = False


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of training with its own losses; most methods have one, some several in a row.

    Attributes:
        name: for logs and `--steps NAME=N`.
        phases: the optimisers' turns within a step, in order.
        share: part of the budget (the shares of a method's stages sum to 1).
        schedule: progress 0..1 -> factor on every learning rate (after the common warm-up); None: a cosine to 0.
        before: called once when the stage begins (to copy weights or freeze statistics), or None.
    """

    name: str
    phases: tuple[Phase, ...]
    share: float = 1.0
    schedule: Callable[[float], float] | None = None
    before: Callable[[nn.Module], None] | None = None

    def __post_init__(self) -> None:
        if self.phases[0].same_batch:
            raise ValueError(
                f"stage {self.name!r}: no phase before {self.phases[0].name!r} to share a batch with"
            )

    @property
    def batches(self) -> int:
        """Fresh batches taken in a step."""
        return sum(phase.repeats for phase in self.phases if not phase.same_batch)


class Method(ABC):
    """One method of the literature; see the module's text.

    Class attributes:
        name: lower case with hyphens.
        family: "baseline", "autoencoder", "variational", "denoising", ...
        title: one line for lists.
        citation: authors, title, venue, year.
        deviations: every difference from the paper, one sentence each.
        presets: "tiny", "cpu", "gpu", "paper" -> settings of `Config`, plus the reserved keys
            "image_size" and "batch" (images per step).
        native: the method's own scoring: settings of `ScoringConfig`, such as {"rule": "residual"}.
        draws_healthy: False for methods that draw no healthy image.
        codes_distribution: True for methods whose latent evidence has `mu` and `log_sigma` of the image's code
            and `mu_redrawn` and `log_sigma_redrawn` of the healthy image's, for latent scan scores.
        channels_last: whether training in bfloat16 on a CPU keeps channels beside each other in memory, as training in
            float32 always does; it speeds up plain convolutions and slows down group normalisation.
    """

    name: ClassVar[str]
    family: ClassVar[str]
    title: ClassVar[str]
    citation: ClassVar[str]
    deviations: ClassVar[tuple[str, ...]] = ()
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    native: ClassVar[Mapping[str, Any]] = {"rule": "residual"}
    draws_healthy: ClassVar[bool] = True
    codes_distribution: ClassVar[bool] = False
    channels_last: ClassVar[bool] = True
    # Raised whenever results change: recorded rows of older code are not reused.
    version: ClassVar[int] = 1
    # Versions whose trained runs still serve: what changed was how they are trained.
    reads: ClassVar[frozenset[int]] = frozenset()
    Config: ClassVar[type[MethodConfig]]

    def __init__(self, config: MethodConfig, spec: InputSpec) -> None:
        self.config = config
        self.spec = spec

    @abstractmethod
    def build(self) -> nn.Module:
        """Make the network, untrained; its direct children are the parts that `methods` counts.

        Works on torch's meta device. Everything learnt, statistics included, is a parameter or a
        buffer of it, because its state dict is what is saved.
        """

    def stages(self) -> list[Stage]:
        """The training, in order; empty for closed-form methods."""
        return []

    def against_recontrast(self) -> str:
        """Why images must not be trained on under random maps of grey values (`training.recontrast`), and what to do; "" if they may."""
        return ""

    def fit(self, network: nn.Module, batches: Callable[[], Iterable[Batch]]) -> None:
        """Closed-form learning: `batches()` goes once over all healthy training images."""

    @abstractmethod
    def explain(self, network: nn.Module, batch: Batch) -> Evidence:
        """Ask the trained network about a batch; deterministic, neighbour-independent."""

    @classmethod
    def config_for(cls, preset: str, overrides: Mapping[str, Any] | None = None) -> MethodConfig:
        """The settings of a preset, with `overrides` on top.

        Raises:
            pydantic.ValidationError: an unknown name or a value out of range.
        """
        chosen = {k: v for k, v in cls.presets[preset].items() if k not in ("image_size", "batch")}
        return cls.Config(**{**chosen, **(overrides or {})})


def count_parameters(module: nn.Module) -> int:
    """Number of learnt parameters (buffers are not counted)."""
    return sum(parameter.numel() for parameter in module.parameters())
