"""What the headers of one DICOM file say about its images, pixels left alone."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlesion.errors import BadInput
from unlesion.scans.checks import reason

Vector = tuple[float, ...]

_TAGS = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID", "PatientSex",
    "PatientAge", "Modality", "SeriesNumber", "SeriesDescription", "ProtocolName", "SequenceName",
    "ScanningSequence", "ContrastBolusAgent", "BodyPartExamined", "Manufacturer", "ManufacturerModelName",
    "ImageType", "InstanceNumber", "AcquisitionNumber", "TemporalPositionIdentifier", "EchoTime",
    "RepetitionTime", "InversionTime", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "PhotometricInterpretation", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "ImagerPixelSpacing", "SliceThickness", "SpacingBetweenSlices", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One slice in a file; millimetres in the patient's axes (left, posterior, up).

    Attributes:
        path: the file.
        index: which frame of it, from 0.
        position: centre of the first pixel, or None.
        orientation: unit vectors along a row and down a column (six numbers), or None.
        spacing: mm between rows and between columns, or None.
        thickness: mm to the next slice as the header says, or None.
        rows, columns: pixels.
        echo: echo time in ms, or None.
        kind: the values of the image type after the second ("M", "P", "NORM").
        order: sorts images of one place: temporal position, acquisition, instance, frame.
    """

    path: Path
    index: int
    position: Vector | None
    orientation: Vector | None
    spacing: Vector | None
    thickness: float | None
    rows: int
    columns: int
    echo: float | None
    kind: tuple[str, ...]
    order: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Header:
    """What one file says.

    Attributes:
        path: the file.
        series, study, uid: unique identifiers of the series, the study, and the file's own.
        frames: its images; empty for objects that hold none (reports, plans) and for broken ones.
        broken: why it cannot be used although it should hold an image, "" otherwise.
        values: other elements by their DICOM keyword, as text; never a name, a date or an address.
    """

    path: Path
    series: str
    study: str
    uid: str
    frames: tuple[Frame, ...]
    broken: str
    values: dict[str, str]

    def get(self, keyword: str) -> str:
        """An element as text, "" where it is empty or missing."""
        return self.values.get(keyword, "")

    def number(self, keyword: str) -> float | None:
        """An element as a finite number, or None."""
        return _number(self.values.get(keyword))


def read_header(path: Path) -> Header:
    """Read the header of a DICOM file.

    Raises:
        BadInput: not readable as DICOM at all.
    """
    import pydicom

    try:
        with warnings.catch_warnings(action="ignore"):
            data = pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=list(_TAGS))
            return _header(path, data)
    except Exception as error:  # a broken file makes decoders raise almost anything
        raise BadInput(
            f"{path}: not readable as DICOM, or truncated ({reason(error)}); copy or export it again"
        ) from error


def _header(path: Path, data: Any) -> Header:
    found = {tag: data.get(tag) for tag in _TAGS if not tag.endswith("Sequence")}
    values = {tag: _text(value) for tag, value in found.items() if value is not None}
    # The index of a medium (DICOMDIR) says what it is in the file's own header only.
    kind = data.get("SOPClassUID") or getattr(data, "file_meta", {}).get("MediaStorageSOPClassUID")
    if not kind and not values.get("SeriesInstanceUID"):
        raise ValueError("no identifiers in its header")
    name = str(kind.name) if kind else ""
    broken = ""
    frames: tuple[Frame, ...] = ()
    if values.get("Rows") and values.get("Columns"):
        frames = tuple(_frames(path, data))
    elif not name or "Image Storage" in name:
        if not values.get("SeriesInstanceUID"):
            raise ValueError("its header breaks off before it says what it belongs to")
        broken = "its header breaks off before the image; copy or export it again"
    values["SOPClass"] = name
    return Header(
        path=path,
        series=values.get("SeriesInstanceUID", ""),
        study=values.get("StudyInstanceUID", ""),
        uid=values.get("SOPInstanceUID", ""),
        frames=frames,
        broken=broken,
        values=values,
    )


def _frames(path: Path, data: Any) -> list[Frame]:
    count = max(1, int(_number(data.get("NumberOfFrames")) or 1))
    shared = _first(data, "SharedFunctionalGroupsSequence")
    own = data.get("PerFrameFunctionalGroupsSequence") or []
    if len(own) not in (0, count):
        raise ValueError(f"{count} frames but {len(own)} descriptions of frames")
    return [_frame(path, data, shared, own[index] if own else None, index) for index in range(count)]


def _frame(path: Path, data: Any, shared: Any, own: Any, index: int) -> Frame:
    """A frame, its elements looked up where its kind of file keeps them: per frame, shared, or plain."""

    def find(group: str, keyword: str) -> Any:
        for place in (own, shared):
            inside = _first(place, group)
            if inside is not None and inside.get(keyword) is not None:
                return inside.get(keyword)
        # Several frames that are told nothing each lie nowhere, whatever the file says about one.
        return data.get(keyword) if own is not None or int(data.get("NumberOfFrames") or 1) == 1 else None

    spacing = _vector(find("PixelMeasuresSequence", "PixelSpacing"), 2) or _vector(
        data.get("ImagerPixelSpacing"), 2
    )
    kind = find("MRImageFrameTypeSequence", "FrameType") or data.get("ImageType") or ()
    echo = find("MREchoSequence", "EffectiveEchoTime")
    content = _first(own, "FrameContentSequence")
    time = content.get("TemporalPositionIndex") if content is not None else None
    order = (
        _number(time if time is not None else data.get("TemporalPositionIdentifier")),
        _number(data.get("AcquisitionNumber")),
        _number(data.get("InstanceNumber")),
        float(index),
    )
    return Frame(
        path=path,
        index=index,
        position=_vector(find("PlanePositionSequence", "ImagePositionPatient"), 3),
        orientation=_vector(find("PlaneOrientationSequence", "ImageOrientationPatient"), 6),
        spacing=spacing if spacing and min(spacing) > 0 else None,
        thickness=_number(find("PixelMeasuresSequence", "SpacingBetweenSlices"))
        or _number(find("PixelMeasuresSequence", "SliceThickness")),
        rows=int(data.Rows),
        columns=int(data.Columns),
        echo=_number(echo if echo is not None else data.get("EchoTime")),
        kind=tuple(str(part) for part in ([kind] if isinstance(kind, str) else kind))[2:],
        order=tuple(-math.inf if part is None else part for part in order),
    )


def _first(data: Any, keyword: str) -> Any:
    """The first item of a sequence, or None."""
    items = None if data is None else data.get(keyword)
    return items[0] if items else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _vector(value: Any, length: int) -> Vector | None:
    """Numbers of the right count, all finite; None otherwise."""
    if value is None or isinstance(value, str) or not hasattr(value, "__len__") or len(value) != length:
        return None
    numbers = [_number(part) for part in value]
    return None if any(number is None for number in numbers) else tuple(n for n in numbers if n is not None)


def _text(value: Any) -> str:
    """An element as one line of text; several values are joined by a backslash, as in DICOM."""
    parts = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else value
    return " ".join("\\".join(str(part) for part in parts).split())
