"""Settings of training that no method owns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer


class TrainingConfig(BaseModel):
    """What `--set training.x=…` sets.

    Attributes:
        batch: images per step.
        ema: decay of the averaged weights, which are the ones that are kept.
        precision: "bf16" computes in bfloat16 where that is safe and pays; "auto" uses it where the
            processor multiplies it in hardware.
        mirror: also show every image flipped left to right.
        contrast: bend the grey values of every image by a random power, up to 2 ** contrast either way, so
            that a scanner with another contrast is not itself an anomaly; 0 for never.
        recontrast: share of the images shown under a random map of grey values that need not keep their order, with
            bias, blur and noise, as another scanner or sequence might show them; 0 for none.
        balance: show images of every modality equally often, however many there are of each.
        checkpoint_seconds: an interrupted training loses at most this much.
        clock: what a budget in minutes is measured by: the "wall" clock, or the time that the "processor" computed
            for this process, all its threads together, so that other programs take nothing of the budget.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch: int = Field(16, ge=1)
    ema: float = Field(0.999, ge=0.0, lt=1.0)
    precision: Literal["auto", "bf16", "32"] = "auto"
    mirror: bool = False
    contrast: float = Field(0.0, ge=0.0, le=2.0)
    recontrast: float = Field(0.0, ge=0.0, le=1.0)
    balance: bool = False
    checkpoint_seconds: float = Field(60.0, gt=0)
    clock: Literal["wall", "processor"] = "wall"

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves newer settings out where they are at their default: what was recorded before stays the same record."""
        out: dict[str, Any] = dump(self)
        for name in ("balance", "clock", "recontrast"):
            if getattr(self, name) == type(self).model_fields[name].default:
                out.pop(name, None)
        return out
