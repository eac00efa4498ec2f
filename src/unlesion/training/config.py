"""Settings of training that no method owns."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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
        checkpoint_seconds: an interrupted training loses at most this much.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch: int = Field(16, ge=1)
    ema: float = Field(0.999, ge=0.0, lt=1.0)
    precision: Literal["auto", "bf16", "32"] = "auto"
    mirror: bool = False
    contrast: float = Field(0.0, ge=0.0, le=2.0)
    checkpoint_seconds: float = Field(60.0, gt=0)
