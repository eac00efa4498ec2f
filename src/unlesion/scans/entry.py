"""Entry: a scan of a cohort before it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from unlesion.scans.reading import has_marks, read_scan
from unlesion.scans.scan import Scan

Label = Literal["healthy", "anomalous", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Where a scan lies and what its cohort says about it. Other kinds of cohort may override `read`.

    Attributes:
        key: path relative to the cohort, without ending ("a/b/x"); unique, names the results.
        paths: the image, one file a channel; a folder for a DICOM series.
        series: for every channel the files of its DICOM series (none for other formats); empty if no
            channel is one.
        mask_path: annotated lesions, or None.
        mask_values: the values of the mask that are lesion; empty where all above 0 are.
        roi_path: region of interest, or None.
        mask_channel, roi_channel: the channel whose row named them, from 0; 0 where there are none.
        twin_paths: the true healthy counterpart, one file a channel; empty if there is none.
        subject: who it is from; unique in the cohort.
        scan_id: which examination of the subject; slices of one volume share it.
        position: relative height of a slice in its volume, 0 lowest to 1 highest; None unknown.
        modality: one name a channel, "" where unknown.
        label: "healthy" or "anomalous"; "unknown" in a folder that does not say, never in a manifest.
        pathology: the finding, "" where unknown.
        split: "train", "val", "test" or another name; None where the cohort has no splits.
        spacing_mm: mm along rows, columns, slices for pictures and bare arrays (1 to 3 numbers), or None.
        volume: which volume of a 4-D file, or None.
        columns: every column of its row in the manifest, as text (of the first channel).
    """

    key: str
    paths: tuple[Path, ...]
    series: tuple[tuple[Path, ...], ...] = ()
    mask_path: Path | None = None
    mask_values: tuple[float, ...] = ()
    roi_path: Path | None = None
    mask_channel: int = 0
    roi_channel: int = 0
    twin_paths: tuple[Path, ...] = ()
    subject: str = ""
    scan_id: str = ""
    position: float | None = None
    modality: tuple[str, ...] = ("",)
    label: Label = "healthy"
    pathology: str = ""
    split: str | None = None
    spacing_mm: tuple[float, ...] | None = None
    volume: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict, hash=False)

    def read(self) -> Scan:
        """Read the scan with its mask, region of interest and twin.

        Raises:
            BadInput: any of its files cannot be used; see `read_scan`.
        """
        return read_scan(
            self.paths,
            mask=self.mask_path,
            mask_values=self.mask_values,
            roi=self.roi_path,
            twin=self.twin_paths or None,
            volume=self.volume,
            spacing_mm=self.spacing_mm,
            key=self.key,
            subject=self.subject,
            scan_id=self.scan_id,
            modality=self.modality,
            position=self.position,
            series=self.series,
        )

    def is_marked(self) -> bool:
        """Whether it has a mask, and that marks a lesion; False where the mask cannot be read."""
        return self.mask_path is not None and bool(has_marks(self.mask_path, self.mask_values))

    @property
    def is_dicom(self) -> bool:
        """Whether its (first) channel is a DICOM series."""
        from unlesion.scans.formats import dicom

        if self.series:
            return bool(self.series[0])
        files = dicom.files_of(self.paths[0])
        return any(dicom.is_dicom(file) for file in files)

    @property
    def content(self) -> str:
        """A hash of the scan's data, where it is known without reading them; "" for scans in files of their own."""
        return ""

    @property
    def known_print(self) -> str:
        """The print of the files that it was made of, where it knows; "" for scans in files of their own."""
        return ""

    @property
    def images(self) -> tuple[Path, ...]:
        """The files of the image: one a channel, or all of its DICOM series."""
        series = self.series or ((),) * len(self.paths)
        files = (own or (path,) for path, own in zip(self.paths, series, strict=True))
        return tuple(file for own in files for file in own)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that belongs to the scan."""
        others = [path for path in (self.mask_path, self.roi_path) if path is not None]
        return (*self.images, *others, *self.twin_paths)
