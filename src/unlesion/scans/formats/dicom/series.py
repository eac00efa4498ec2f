"""Which files make a series, which of them belong together, and which series are no scans."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlesion.scans.formats.dicom.contrast import PROJECTIONS
from unlesion.scans.formats.dicom.header import Frame, Header
from unlesion.scans.formats.dicom.stack import NoStack, normal_of, same_plane, stack_frames

# Fewer slices than this in a part of a series make no volume of their own.
_FEWEST = 3
# A scout has a handful of slices in each of two or three planes.
_SCOUT_MOST = 15
_SCOUT_WORDS = re.compile(r"locali[sz]er|scout|\bpilot\b|topogram|scanogram|\bsurvey\b", re.IGNORECASE)

_NO_SCANS = {
    "SEG": "a segmentation",
    "RTDOSE": "a dose distribution",
    "RTIMAGE": "a radiotherapy image",
    "PR": "a presentation state",
    "SR": "a report",
}


@dataclass(frozen=True, kw_only=True)
class Series:
    """The files of one series, or those of its files that belong together.

    Attributes:
        headers: one a file, in the order of their paths.
        part: what sets these files apart from others of the series ("echo-80", "sagittal"), or "".
    """

    headers: tuple[Header, ...]
    part: str = ""

    @property
    def first(self) -> Header:
        """The header that speaks for the series: of the first file with an image, if any has one."""
        return next((header for header in self.headers if header.frames), self.headers[0])

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files."""
        return tuple(header.path for header in self.headers)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Its images, in the order of files."""
        return tuple(frame for header in self.headers for frame in header.frames)

    @property
    def is_projection(self) -> bool:
        """Whether its images are radiographs, each a scan of its own."""
        return self.first.get("Modality").upper() in PROJECTIONS

    @property
    def title(self) -> str:
        """Number, description and part, for people."""
        words = (self.first.get("SeriesNumber"), self.first.get("SeriesDescription"), self.part)
        return " ".join(word for word in words if word) or "without a name"


def gather(headers: Sequence[Header]) -> list[Series]:
    """Files by the identifier of their series, and series by what belongs together in them.

    A series that holds several planes, image sizes, pixel sizes, echoes or kinds of images is taken apart
    if every part is a volume; otherwise it stays whole (and will be refused when it is read).
    """
    groups: dict[tuple[str | bool, ...], list[Header]] = {}
    for header in sorted(headers, key=lambda header: header.path):
        # Some anonymisers write the same series identifier for everybody; a localiser may be among a series.
        owner = header.series or str(header.path)
        key = (owner, header.study, header.get("PatientID"), _is_localiser(header))
        groups.setdefault(key, []).append(header)
    return [part for group in groups.values() for part in _taken_apart(Series(headers=tuple(group)))]


def no_scan(series: Series) -> str:
    """Why a series cannot be a scan although nothing is wrong with it; "" if it can."""
    header = series.first
    if not series.frames:
        broken = any(header.broken for header in series.headers)
        return "" if broken else f"an object without images ({header.get('SOPClass') or 'unknown kind'})"
    code = header.get("Modality").upper()
    if code in _NO_SCANS:
        return _NO_SCANS[code]
    if _is_localiser(header):
        return "a localiser"
    if _is_scout(series.frames):
        return "a localiser or projections (a few images in each of several planes)"
    if len(series.frames) <= 3 * _SCOUT_MOST and _SCOUT_WORDS.search(header.get("SeriesDescription")):
        return "a localiser by its name"
    return ""


def fault(series: Series) -> str:
    """What is wrong with the files of a series, with what to do; "" if nothing is."""
    for header in series.headers:
        if header.broken:
            return f"{header.path.name}: {header.broken}"
    twice = [uid for uid, count in Counter(header.uid for header in series.headers).items() if count > 1]
    for uid in twice:
        if uid:
            one, two = [header.path for header in series.headers if header.uid == uid][:2]
            names = (one.name, two.name) if one.name != two.name else (str(one), str(two))
            more = f", and {len(twice) - 1} others" if len(twice) > 1 else ""
            return f"{names[0]} and {names[1]} are the same image{more}; remove the copies"
    kinds = {header.get("PhotometricInterpretation").upper() for header in series.headers if header.frames}
    colour = sorted(kinds - {"MONOCHROME1", "MONOCHROME2", ""})
    if colour or any(header.number("SamplesPerPixel") not in (None, 1.0) for header in series.headers):
        return (
            f"colour images ({', '.join(colour) or 'several samples a pixel'}); only grey images can be read"
        )
    if any("MOSAIC" in header.get("ImageType").upper().split("\\") for header in series.headers):
        return "mosaics (all slices in one picture); convert the series to NIfTI with dcm2niix"
    return ""


def _taken_apart(series: Series) -> list[Series]:
    imaged = [header for header in series.headers if header.frames]
    if not imaged or any(header.broken for header in series.headers):
        return [series]
    if series.is_projection:
        if len(imaged) == 1:
            return [Series(headers=(imaged[0],))]
        return [Series(headers=(header,), part=header.path.stem) for header in imaged]
    whole = Series(headers=tuple(imaged))
    if no_scan(whole):
        return [whole]
    keys = _keys(imaged)
    parts: dict[Hashable, list[Header]] = {}
    for header, key in zip(imaged, keys, strict=True):
        parts.setdefault(key, []).append(header)
    if len(parts) == 1 or not all(_is_volume(part) for part in parts.values()):
        return [whole]
    names = _part_names([part[0].frames[0] for part in parts.values()])
    return [Series(headers=tuple(part), part=name) for part, name in zip(parts.values(), names, strict=True)]


def _keys(headers: Sequence[Header]) -> list[Hashable]:
    """What the files of one volume have in common."""
    planes: list[Frame] = []
    keys: list[Hashable] = []
    for header in headers:
        frame = header.frames[0]
        plane = next((n for n, known in enumerate(planes) if same_plane(known, frame)), len(planes))
        if plane == len(planes):
            planes.append(frame)
        spacing = None if frame.spacing is None else tuple(round(size, 3) for size in frame.spacing)
        keys.append((plane, frame.rows, frame.columns, spacing, frame.echo, frame.kind))
    return keys


def _is_volume(headers: Sequence[Header]) -> bool:
    frames = [frame for header in headers for frame in header.frames]
    if len(frames) < _FEWEST:
        return False
    try:
        stack_frames(frames)
    except NoStack:
        return False
    return True


def _is_localiser(header: Header) -> bool:
    return "LOCALIZER" in header.get("ImageType").upper().split("\\")


def _is_scout(frames: Sequence[Frame]) -> bool:
    planes: list[list[Frame]] = []
    for frame in frames:
        group = next((group for group in planes if same_plane(group[0], frame)), None)
        if group is None:
            planes.append([frame])
        else:
            group.append(frame)
    if len(planes) < 2 or any(len(group) > _SCOUT_MOST for group in planes):
        return False
    normals = [normal_of(group[0]) for group in planes]
    known = [normal for normal in normals if normal is not None]
    across = np.abs([float(one @ two) for n, one in enumerate(known) for two in known[n + 1 :]])
    return len(known) == len(planes) and bool((across < 0.5).any())


def _part_names(frames: Sequence[Frame]) -> list[str]:
    """Short names that say what differs between the parts, unique among them."""
    features = [
        [_plane_name(frame) for frame in frames],
        [f"{frame.rows}x{frame.columns}" for frame in frames],
        ["" if frame.spacing is None else f"{frame.spacing[0]:.3g}mm" for frame in frames],
        ["" if frame.echo is None else f"echo-{frame.echo:g}" for frame in frames],
        ["-".join(frame.kind).lower() for frame in frames],
    ]
    telling = [values for values in features if len(set(values)) > 1]
    names = ["-".join(filter(None, parts)) for parts in zip(*telling, strict=True)] if telling else []
    if len(set(names)) < len(frames) or not all(names):
        return [f"part-{number}" for number in range(1, len(frames) + 1)]
    return names


def _plane_name(frame: Frame) -> str:
    normal = normal_of(frame)
    return "" if normal is None else ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(normal)))]
