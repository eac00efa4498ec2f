"""Settings that all diffusion methods have."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from unlesion.errors import BadInput
from unlesion.methods.base import InputSpec, MethodConfig
from unlesion.networks.diffusion.noise import Noise, NoiseKind
from unlesion.networks.diffusion.process import Process, Target
from unlesion.networks.diffusion.schedules import ScheduleKind, make_schedule


class DiffusionConfig(MethodConfig):
    """Settings of `DDPM` and of all methods made from it; the defaults are those of its `paper` preset.

    Attributes:
        width: channels of the U-Net's first level.
        factors: of the levels' widths.
        blocks: residual blocks of a level on the way down, one number for all levels or one for each.
        attention: sides in pixels of the levels that attend; the middle always does.
        head_width: channels of a head of attention.
        dropout: in the residual blocks.
        schedule: "cosine", "linear" or "log-snr".
        timesteps: steps of the forward process, T.
        target: what the network tells: the clean image "x0", the noise "eps" or the velocity "v".
        loss: "l1" or "l2" distance from that, mean over the roi.
        noise: "gaussian", "simplex", "coarse" or "pyramid".
        grey: the recipe's grey values that are -1 and 1 for the network. Published is the range of tissue (its 1st and 99th
            percentiles); recipes for MRI put tissue between about 0.1 and 0.8, so that with 0 and 1 the noise of a level
            is about 1.4 times as strong beside it as published.
        grain: first wavelength of simplex noise, or cell of coarse noise, in sides of the image.
        octaves: of simplex noise.
        persistence: factor on the strength from octave to octave, or from level to level of a pyramid.
        shared_field: one noise field for all images of a training batch, and at detection one for each of
            `t_test`, the same for all images and runs (the released code draws one for every volume); false draws one for
            every image.
        train_levels: noise levels in training are drawn from 1 to this.
        t_test: noise levels at detection, 1 to `timesteps`; the images drawn from several are averaged. A level that is
            named twice gets two noise fields.
        sampler: "one-step" takes the clean image that the network sees at once; "ddim" goes there in `steps` steps
            without new noise, "ancestral" in all steps with new noise in each.
        steps: of the DDIM sampler.
        step_noise: kind of the new noise of "ancestral"; unless given, that of `noise`, for a network that has learnt to take
            off one kind of noise takes no other off. Nothing else heeds it.
        precision: of the network at detection: "32" is float32; "bf16" computes in bfloat16 where that is safe, which
            about halves the time; "auto" does so where the processor multiplies it in hardware.
        learning_rate: of AdamW.
        weight_decay: of AdamW; 0 is Adam.
        anneal: let the learning rate follow a cosine to 0.
    """

    at_detection: ClassVar[frozenset[str]] = frozenset(
        {"t_test", "sampler", "steps", "step_noise", "precision"}
    )

    width: int = Field(128, ge=4, multiple_of=2)
    factors: tuple[int, ...] = Field((1, 2, 2), min_length=1)
    blocks: int | tuple[int, ...] = 3
    attention: tuple[int, ...] = ()
    head_width: int = Field(64, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    schedule: ScheduleKind = "cosine"
    timesteps: int = Field(1000, ge=2)
    target: Target = "x0"
    loss: Literal["l1", "l2"] = "l1"
    noise: NoiseKind = "simplex"
    grey: tuple[float, float] = (0.0, 1.0)
    grain: float = Field(2 / 3, gt=0)
    octaves: int = Field(6, ge=1)
    persistence: float = Field(0.8, gt=0)
    shared_field: bool = False
    train_levels: int = Field(1000, ge=1)
    t_test: tuple[int, ...] = Field((500,), min_length=1)
    sampler: Literal["one-step", "ddim", "ancestral"] = "one-step"
    steps: int = Field(25, ge=1)
    step_noise: NoiseKind = "gaussian"
    precision: Literal["auto", "bf16", "32"] = "32"
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    anneal: bool = False

    @field_validator("grey")
    @classmethod
    def _a_range(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if not ends[0] < ends[1]:
            raise ValueError("the darker grey value first, such as [0.1, 0.8]")
        return ends

    @model_validator(mode="before")
    @classmethod
    def _one_kind_of_noise(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("sampler") == "ancestral":
            return {"step_noise": given.get("noise", cls.model_fields["noise"].default), **given}
        return given

    @model_validator(mode="after")
    def _levels_exist(self) -> DiffusionConfig:
        if not 1 <= self.train_levels <= self.timesteps:
            raise ValueError(f"train_levels must lie between 1 and timesteps ({self.timesteps})")
        if not all(1 <= level <= self.train_levels for level in self.t_test):
            raise ValueError(
                f"t_test must lie between 1 and train_levels ({self.train_levels}), the levels that are learnt; lower "
                "the one or raise the other"
            )
        if isinstance(self.blocks, tuple) and len(self.blocks) != len(self.factors):
            raise ValueError(f"blocks for {len(self.blocks)} levels, but factors for {len(self.factors)}")
        return self

    @property
    def process(self) -> Process:
        """The forward process and what the network is asked."""
        return Process(make_schedule(self.schedule, self.timesteps), self.target)

    def noise_of(self, kind: NoiseKind) -> Noise:
        """The component that draws a kind of noise."""
        return Noise(kind=kind, grain=self.grain, octaves=self.octaves, persistence=self.persistence)

    def unet_settings(self, spec: InputSpec) -> dict[str, Any]:
        """Arguments of `DiffusionUNet` for images like these.

        Raises:
            BadInput: no level has a side that `attention` names.
        """
        levels = range(len(self.factors))
        sides = [spec.size >> level for level in levels]
        absent = [str(side) for side in self.attention if side not in sides]
        if absent:
            # Left alone, the network would attend nowhere, and nobody would know.
            raise BadInput(
                f"method.attention names {', '.join(absent)} pixels, but the levels of {spec.size} pixels have "
                f"{', '.join(map(str, sides))}; choose among these, or set method.attention=[]"
            )
        return {
            "channels": spec.channels,
            "width": self.width,
            "factors": self.factors,
            "blocks": self.blocks,
            "attention": tuple(level for level in levels if sides[level] in self.attention),
            "head_width": self.head_width,
            "dropout": self.dropout,
            "dims": spec.dims,
        }
