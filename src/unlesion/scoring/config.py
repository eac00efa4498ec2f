"""Settings of scoring and of the post-processing that is common to all methods."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

# Settings that the scorings of a run have in common.
COMMON = ("post", "pool", "pool_fraction")

_FACTOR = re.compile(r"residual|ssim|patch|map:[A-Za-z0-9_.-]+")


class PostConfig(BaseModel):
    """What happens to every map, whatever the method, in millimetres.

    A picture of unknown spacing has the width that its recipe assumes, so millimetres mean the same
    there. One default serves all methods, because a filter chosen per method decides comparisons.

    Attributes:
        median_mm: side of the square median window of flat scans, rounded to an odd number of pixels; 0 for
            none. The default is 5 pixels of 3 mm, the five pixels that are customary in the field at the
            resolution of the small presets.
        median_volume_mm: side of the cubic median window of volumes. The default, 3 pixels of 3 mm, takes
            about as many pixels as the flat one; a cube of 5 pixels would wipe out MS plaques.
        erode_mm: the map is 0 closer than this to the border of the region, slice by slice.
        min_component_ml: smaller connected components of binary lesions of volumes are dropped.
        min_component_mm2: the same for flat scans.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    median_mm: float = Field(default=15.0, ge=0, le=100)
    median_volume_mm: float = Field(default=9.0, ge=0, le=100)
    erode_mm: float = Field(default=0.0, ge=0, le=100)
    min_component_ml: float = Field(default=0.05, ge=0)
    min_component_mm2: float = Field(default=16.0, ge=0)


class PatchConfig(BaseModel):
    """What the rule "patch" compares, in millimetres; the defaults are 8, 4 and 2 pixels of 1 mm.

    Attributes:
        size_mm: side of a patch; at least 3 pixels.
        search_mm: how far a patch of the healthy image may lie from the scan's along each axis; 0 for only the
            same place. At least a pixel otherwise.
        smooth_mm: standard deviation of the Gaussian over the finished map, in plane; 0 for none.
        embedding: what patches are compared by: "filters", blurred grey values and their slopes, or "grey", grey
            values alone.
        through_slices: patches of volumes go through slices, too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    size_mm: float = Field(default=8.0, gt=0, le=100)
    search_mm: float = Field(default=4.0, ge=0, le=50)
    smooth_mm: float = Field(default=2.0, ge=0, le=50)
    embedding: Literal["filters", "grey"] = "filters"
    through_slices: bool = False


class ScoringConfig(BaseModel):
    """How evidence becomes a map and a scan score.

    Attributes:
        rule: "residual" (scan - healthy), "ssim" (1 - local SSIM of scan and healthy), "patch" (1 - likeness of a
            patch to the likest one nearby) or "map:NAME" (one of the method's own maps); several joined by "*"
            are multiplied ("residual*map:kl").
        sign: "both" looks for any difference, "bright" for more than expected, "dark" for less.
        standardise: measure in standard deviations of healthy scans at the same pixel and height.
        height_bins: number of height ranges with their own normative mean and SD.
        sd_floor: smallest normative SD, in units of the rule (normalised intensities for a residual); own maps without
            values below 0 have one of their own size.
        channels: how channels join.
        pool: how a map becomes the scan score: mean of the highest `pool_fraction` of the roi's pixels
            ("top"), their mean, or their maximum.
        pool_fraction: for `pool="top"`.
        scan: what the scan score is made of: the pooled "map", or how far the code of the redrawn scan lies
            from the scan's, pooled over its slices (variational methods only).
        patch: for the rule "patch".
        post: post-processing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    rule: str = "residual"
    sign: Literal["both", "bright", "dark"] = "both"
    standardise: bool = False
    height_bins: int = Field(default=8, ge=1, le=256)
    sd_floor: float = Field(default=0.02, gt=0)
    channels: Literal["mean", "max"] = "mean"
    pool: Literal["top", "mean", "max"] = "top"
    pool_fraction: float = Field(default=0.01, gt=0, le=1)
    scan: Literal["map", "latent-l2", "latent-cosine", "latent-kl", "latent-w2", "latent-fisher-rao"] = "map"
    patch: PatchConfig = PatchConfig()
    post: PostConfig = PostConfig()

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves `scan` out where it is the default, and `patch` where no rule has any: old records stay the same."""
        out: dict[str, Any] = dump(self)
        if self.scan == "map":
            out.pop("scan", None)
        if "patch" not in self.factors and self.patch == PatchConfig():
            out.pop("patch", None)
        return out

    @field_validator("rule")
    @classmethod
    def _known_rule(cls, rule: str) -> str:
        for factor in rule.split("*"):
            if not _FACTOR.fullmatch(factor):
                raise ValueError(
                    f"no rule {factor!r}; there are residual, ssim, patch, map:NAME and products with *"
                )
        return rule

    @model_validator(mode="after")
    def _one_factor_to_standardise(self) -> ScoringConfig:
        if self.standardise and len(self.factors) > 1:
            raise ValueError("standardise works with a single rule, not with a product")
        return self

    @property
    def factors(self) -> tuple[str, ...]:
        """The rules that are multiplied."""
        return tuple(self.rule.split("*"))
