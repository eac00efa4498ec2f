"""Settings of `dal`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from unlesion.methods.anatomy.corruption import CorruptionConfig
from unlesion.methods.rates import cosine
from unlesion.networks.one_hot import Operator

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "tiny": {
        "image_size": 32, "batch": 8, "anatomy_widths": (8, 12), "restorer_widths": (8, 12, 16), "film_width": 8,
        "film_blocks": 1, "imaging_width": 8, "critic_widths": (8, 8), "self_weight": 0.0,
        "learning_rate": 3e-3, "restoring_rate": 3e-3, "edge_planes": "each",
    },
    "cpu": {
        "image_size": 64, "batch": 8, "anatomy_widths": (16, 32, 64), "restorer_widths": (16, 32, 64, 128),
        "film_width": 16, "film_blocks": 2, "self_weight": 0.0, "adversarial": 0.0, "critic_widths": (16, 32, 64),
        "disentangling": 0.5, "learning_rate": 3e-3, "restoring_rate": 3e-3, "edge_planes": "each",
    },
    "gpu": {
        "image_size": 128, "batch": 32, "restorer_widths": (32, 64, 128, 256), "film_blocks": 3,
        "learning_rate": 1e-3, "restoring_rate": 1e-3, "edge_planes": "each",
    },
    "paper": {"image_size": 224, "batch": 16},
}  # fmt: skip


class DALConfig(CorruptionConfig):
    """Settings of `DisentangledAnatomy`; where they come from stands in the card.

    Attributes:
        subclasses: parts of each tissue; anatomy has `tissues` times `subclasses` planes and the background.
        anatomy_widths: channels of the levels of the anatomy encoder.
        restorer_widths: channels of the levels of the restorer.
        imaging_width: channels of the imaging encoder.
        code: numbers in an imaging code.
        film_width: channels of the recoupler.
        film_blocks: its blocks.
        critic_widths: channels of the critic's convolutions.
        operator: one-hot by "straight" (through) estimate, "gumbel", "rounding", or "softmax": no one-hot at all.
        temperature: of the operator at the end; it falls from 1 over the first 30 % of the first stage.
        prior: tissues by "em", by EM with the "template" of nilearn, or "none".
        pairs: two contrasts of one anatomy are two "channels", or an image and a random "maps" of its grey values;
            "auto" takes channels where there are several.
        map_strength: of the random maps, 0 to 1.
        disentangling: share of the budget that goes into the first stage.
        self_weight: of the loss that each view is drawn from its own anatomy.
        cross_weight: of the loss that each view is drawn from the other view's anatomy.
        invariance: weight of the divergence of both views' anatomies.
        prior_weight: of the prior at the beginning.
        prior_weight_end: at the end of the first stage, on a cosine.
        kl: weight of the divergence of codes from a standard normal distribution.
        code_recovery: weight of the error of a random code read off the image drawn with it.
        leak: weight of the difference of an image's code and that of the image warped.
        similarity: weight of 1 - SSIM beside an absolute error, in both stages.
        drawn_weight: of the error of the redrawn image in the second stage.
        adversarial: weight of the critic's judgement; 0 trains no critic.
        robust: how often the imaging code is read anew without what was unlike.
        regrade: fit the grey values of the redrawn image to the scan's.
        bias_order: of the smooth waves in that fit; 0 for none.
        fusion: weight of anatomical disagreement in the map `fused`.
        learning_rate: of Adam in the first stage.
        restoring_rate: of Adam in the second stage.
        clip_norm: largest norm of a gradient.
    """

    at_detection: ClassVar[frozenset[str]] = frozenset({"fusion"})

    subclasses: int = Field(3, ge=1, le=8)
    anatomy_widths: tuple[int, ...] = Field((32, 64, 128, 256), min_length=2)
    restorer_widths: tuple[int, ...] = Field((32, 64, 128, 256, 256), min_length=2)
    imaging_width: int = Field(16, ge=1)
    code: int = Field(8, ge=1)
    film_width: int = Field(32, ge=1)
    film_blocks: int = Field(4, ge=1)
    critic_widths: tuple[int, ...] = Field((64, 128, 256, 512), min_length=1)
    operator: Operator = "straight"
    temperature: float = Field(0.3, gt=0, le=1)
    prior: Literal["em", "template", "none"] = "em"
    pairs: Literal["auto", "channels", "maps"] = "auto"
    map_strength: float = Field(1.0, ge=0, le=1)
    disentangling: float = Field(0.5, gt=0, lt=1)
    self_weight: float = Field(1.0, ge=0)
    cross_weight: float = Field(1.0, ge=0)
    invariance: float = Field(0.5, ge=0)
    prior_weight: float = Field(1.0, ge=0)
    prior_weight_end: float = Field(0.1, ge=0)
    kl: float = Field(1e-3, ge=0)
    code_recovery: float = Field(1.0, ge=0)
    leak: float = Field(0.1, ge=0)
    similarity: float = Field(0.5, ge=0)
    drawn_weight: float = Field(1.0, ge=0)
    adversarial: float = Field(0.01, ge=0)
    robust: int = Field(3, ge=0, le=10)
    regrade: bool = True
    bias_order: int = Field(2, ge=0, le=4)
    fusion: float = Field(0.5, ge=0)
    learning_rate: float = Field(1e-4, gt=0)
    restoring_rate: float = Field(1e-4, gt=0)
    clip_norm: float = Field(1.0, gt=0)

    def temperature_at(self, progress: float) -> float:
        """Of the operator, at a progress of 0 to 1 of the first stage."""
        return self.temperature + (1.0 - self.temperature) * cosine(progress / 0.3)

    def prior_weight_at(self, progress: float) -> float:
        """Of the prior, likewise."""
        return self.prior_weight_end + (self.prior_weight - self.prior_weight_end) * cosine(progress)
