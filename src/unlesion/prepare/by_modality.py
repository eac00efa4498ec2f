"""Recipe steps that hold for one modality only, so that one recipe prepares several kinds of scans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from unlesion.prepare.align import AlignStep
from unlesion.prepare.bias import BiasStep
from unlesion.prepare.crop import CropStep
from unlesion.prepare.normalise import NormaliseStep
from unlesion.prepare.roi import RoiStep
from unlesion.prepare.slices import SliceStep


class RecipePart(BaseModel):
    """The steps of a recipe that one modality has for itself.

    A step that is given stands in the place of the recipe's whole step; one that is left out (None) is the
    recipe's. Kind and size are common to all modalities: a network sees images of one size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    roi: RoiStep | None = None
    align: AlignStep | None = None
    crop: CropStep | None = None
    slices: SliceStep | None = None
    bias: BiasStep | None = None
    normalise: NormaliseStep | None = None
    assumed_width_mm: float | None = Field(default=None, gt=0)

    @model_serializer(mode="wrap")
    def _what_is_given(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in dump(self).items() if value is not None}

    @property
    def given(self) -> dict[str, Any]:
        """The steps that are given, by name."""
        return {name: value for name, value in self if value is not None}


def one_name_each(parts: Mapping[str, RecipePart]) -> None:
    """Names of modalities count without regard to case, so none may be there twice.

    Raises:
        ValueError: one is.
    """
    seen: dict[str, str] = {}
    for name in parts:
        first = seen.setdefault(name.casefold(), name)
        if first != name:
            raise ValueError(f"{first!r} and {name!r} are one modality; keep one of them")


def part_of(parts: Mapping[str, RecipePart], modality: Sequence[str]) -> RecipePart | None:
    """The part for a scan with these channels; None where they have none of their own.

    Raises:
        ValueError: the channels have different parts.
    """
    known = {name.casefold(): part for name, part in parts.items()}
    found = [known.get(name.casefold()) for name in modality]
    if any(part != found[0] for part in found):
        raise ValueError(f"its channels {', '.join(modality)} have different steps")
    return found[0] if found else None
