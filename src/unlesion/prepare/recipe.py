"""Recipe: how raw scans become comparable pictures, as readable typed steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from unlesion.errors import BadInput
from unlesion.prepare.align import AlignStep, Frame
from unlesion.prepare.bias import BiasStep
from unlesion.prepare.by_modality import RecipePart, one_name_each, part_of
from unlesion.prepare.crop import CropStep
from unlesion.prepare.normalise import CEILING, Intensity, NormaliseStep
from unlesion.prepare.placement import Placement
from unlesion.prepare.prepared import Prepared
from unlesion.prepare.resample import to_prepared
from unlesion.prepare.roi import RoiStep
from unlesion.prepare.slices import SliceStep
from unlesion.prepare.stored import StoredGeometry
from unlesion.prepare.trim import erode, trim
from unlesion.scans.scan import Scan

# With `normalise.how=none`, the share of values in the region that may lie beyond the range of prepared images.
MOST_CUT = 0.05


class Recipe(BaseModel):
    """How raw scans become comparable pictures; applied alike in training and detection.

    Attributes:
        name: for people.
        kind: "volume" (3-D in, axial slices out) or "picture" (one slice in, one out).
        size: pixels per side of a prepared picture.
        roi, align, crop, slices, bias, normalise: the steps, in this order.
        assumed_width_mm: mm across the longer side of a picture that does not know its pixels' size.
        by_modality: by name of a modality, steps that scans of it have in the place of the recipe's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["volume", "picture"]
    size: int = Field(default=64, ge=8, le=1024)
    roi: RoiStep = RoiStep()
    align: AlignStep = AlignStep()
    crop: CropStep = CropStep()
    slices: SliceStep = SliceStep()
    bias: BiasStep = BiasStep()
    normalise: NormaliseStep = NormaliseStep()
    assumed_width_mm: float = Field(default=240.0, gt=0)
    by_modality: dict[str, RecipePart] = Field(default_factory=dict)

    @field_validator("by_modality")
    @classmethod
    def _one_name_each(cls, parts: dict[str, RecipePart]) -> dict[str, RecipePart]:
        one_name_each(parts)
        return parts

    @model_serializer(mode="wrap")
    def _without_what_came_later(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out what does nothing and is younger than others: recipes of before it came keep their digests."""
        out: dict[str, Any] = dump(self)
        if self.bias == BiasStep():
            out.pop("bias", None)
        if not self.by_modality:
            out.pop("by_modality", None)
        return out

    @property
    def digest(self) -> str:
        """16 hex digits that change with anything in the recipe but its name."""
        content = self.model_dump(mode="json", exclude={"name"})
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_yaml(self) -> str:
        """The recipe as YAML that `load_recipe` reads."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)

    def for_modality(self, modality: Sequence[str]) -> Recipe:
        """The plain recipe that scans with these channels get; the recipe itself where it has one for all.

        Raises:
            ValueError: the channels have different steps in `by_modality`.
        """
        if not self.by_modality:
            return self
        part = part_of(self.by_modality, modality)
        return self.model_copy(update={"by_modality": {}, **({} if part is None else part.given)})

    def prepare(self, scan: Scan) -> Prepared:
        """Prepare one scan, with the steps of its modality.

        Raises:
            BadInput: the scan is of the other kind, was prepared by another recipe, or its channels have
                different steps.
        """
        if isinstance(scan.grid.header, StoredGeometry):
            return self._as_stored(scan, scan.grid.header)
        try:
            plain = self.for_modality(scan.modality)
        except ValueError as error:
            raise BadInput(
                f"{scan.key}: recipe {self.name!r} cannot prepare it: {error}; choose others with --channels"
            ) from error
        return plain._prepare(scan)

    def _prepare(self, scan: Scan) -> Prepared:
        self._check_kind(scan)
        spacing = self._spacing(scan, stripped=False)
        region = self.roi.find(scan, spacing)
        if region.stripped:
            spacing = self._spacing(scan, stripped=True)
        frame = self.align.frame(scan, region, spacing)
        field = self.bias.field(scan.voxels, region.mask, spacing)
        voxels = scan.voxels if field is None else scan.voxels / field
        intensity = self.normalise.fit(voxels, region.mask)
        placement, positions = self._place(scan, frame)
        images, inside = to_prepared(voxels, region.mask, placement)
        images, inside = images.transpose(3, 0, 1, 2), inside.transpose(2, 0, 1)
        images = intensity.apply(images)
        if self.normalise.how == "none":
            _check_range(scan.key, images, inside)
        images = np.clip(images, 0.0, CEILING)
        if not scan.grid.is_flat:
            images, inside, positions, placement = trim(images, inside, positions, placement)
        mm = placement.pixel_mm(spacing)
        inside = erode(inside, self.roi.erode_mm, (0.0 if scan.grid.is_flat else mm[2], mm[0], mm[1]))
        return Prepared(
            images=np.ascontiguousarray(images * inside[:, None], dtype=np.float32),
            roi=np.ascontiguousarray(inside),
            positions=positions.astype(np.float32),
            spacing=(mm[0], mm[1]),
            slice_mm=0.0 if scan.grid.is_flat else mm[2],
            placement=placement,
            intensity=intensity,
            field=field,
            scan=scan,
            key=scan.key,
            subject=scan.subject,
            scan_id=scan.scan_id,
            modality=scan.modality,
            warnings=(*scan.warnings, *region.warnings, *frame.warnings),
        )

    def _check_kind(self, scan: Scan) -> None:
        if self.kind == "volume" and scan.grid.is_flat:
            raise BadInput(
                f"{scan.key}: a single slice, but recipe {self.name!r} is for volumes; use 'slices'"
            )
        if self.kind == "picture" and not scan.grid.is_flat:
            raise BadInput(f"{scan.key}: a volume, but recipe {self.name!r} is for pictures; use 'brain-mri'")

    def _spacing(self, scan: Scan, *, stripped: bool) -> tuple[float, float, float]:
        """Voxel size in mm, assumed where the file does not say.

        A picture of a head is taken to be `assumed_width_mm` wide. A skull-stripped one was cropped by
        its source: its longer side is taken to be the field, so that the brain fills it.
        """
        if scan.grid.spacing_known or not scan.grid.is_flat:
            return scan.grid.spacing
        width = self.assumed_width_mm
        if stripped and self.crop.field_mm is not None:
            width = min(width, self.crop.field_mm)
        pixel = width / max(scan.grid.shape[:2])
        return pixel, pixel, 1.0

    def _place(self, scan: Scan, frame: Frame) -> tuple[Placement, np.ndarray[Any, Any]]:
        pixel = self.crop.side(frame.extent_mm) / self.size
        flat = scan.grid.is_flat
        heights = np.zeros(1) if flat else self.slices.heights(frame.bottom, frame.top)
        grid = np.diag([pixel, pixel, 1.0 if flat else self.slices.step_mm, 1.0])
        grid[:2, 3] = -(self.size - 1) / 2 * pixel
        grid[2, 3] = heights[0]
        to_scan = frame.to_scan.copy()
        if flat:
            to_scan[2] = (0.0, 0.0, 1.0, 0.0)
            positions = np.array([0.5 if scan.position is None else scan.position])
        else:
            positions = np.clip((heights - frame.bottom) / max(frame.top - frame.bottom, 1e-6), 0, 1)
        placement = Placement(
            matrix=to_scan @ grid,
            shape=(self.size, self.size, len(heights)),
            scan_shape=scan.grid.shape,
        )
        return placement, positions

    def _as_stored(self, scan: Scan, geometry: StoredGeometry) -> Prepared:
        """A scan out of a prepared store is prepared already."""
        if geometry.digest != self.digest:
            raise BadInput(
                f"{scan.key}: prepared by recipe {geometry.recipe!r} ({geometry.digest}), not by "
                f"{self.name!r} ({self.digest}); prepare the scans again with this one"
            )
        if scan.roi is None:
            raise ValueError("a scan out of a prepared store has a roi")
        shape = scan.grid.shape
        return Prepared(
            images=np.ascontiguousarray(scan.voxels.transpose(3, 0, 1, 2)),
            roi=np.ascontiguousarray(scan.roi.transpose(2, 0, 1)),
            positions=np.asarray(geometry.positions, dtype=np.float32),
            spacing=(scan.grid.spacing[0], scan.grid.spacing[1]),
            slice_mm=geometry.slice_mm,
            placement=Placement.identity(shape),
            intensity=Intensity(offset=(0.0,) * scan.channels, scale=(1.0,) * scan.channels),
            scan=scan,
            key=scan.key,
            subject=scan.subject,
            scan_id=scan.scan_id,
            modality=scan.modality,
            warnings=scan.warnings,
        )


def _check_range(key: str, images: NDArray[np.float32], inside: NDArray[np.bool_]) -> None:
    """Refuse values that the range of prepared images would cut: `normalise.how=none` leaves them as they are."""
    values = images.swapaxes(0, 1)[:, inside] if images.ndim == 4 else images[inside]
    if values.size and float(((values < 0) | (values > CEILING)).mean()) > MOST_CUT:
        raise BadInput(
            f"{key}: values from {values.min():g} to {values.max():g} with normalise.how=none, but prepared images hold 0 to "
            f"{CEILING:g}; scale them before, or take normalise.how=median or percentiles"
        )
