"""Frames in order: which slice follows which, how far apart, and whether that makes a volume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from unlesion.scans.formats.dicom.header import Frame

# Headers round positions to a hundredth of a millimetre or so; a missing slice is far beyond this.
_UNEVEN_SHARE = 0.02
_UNEVEN_MM = 0.03
_SAME_PLACE_MM = 1e-2
_SAME_DIRECTION = 2e-3


class NoStack(ValueError):
    """These frames make no volume; the message says why, and ends with what to do."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """Frames of one plane in the order of their places.

    Attributes:
        volumes: for every volume its frames along the slice normal; one volume but for 4-D series.
        affine: 4 x 4, (column, row, slice, 1) to the patient's axes (left, posterior, up) in mm; None where
            the headers place nothing. Slices of a tilted gantry are sheared, not straightened.
        spacing_known: False where no pixel size is given.
    """

    volumes: tuple[tuple[Frame, ...], ...]
    affine: NDArray[np.float64] | None
    spacing_known: bool


def normal_of(frame: Frame) -> NDArray[np.float64] | None:
    """Unit vector across the slice, None where its orientation is unknown or impossible."""
    if frame.orientation is None:
        return None
    row, column = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
    across = np.cross(row, column)
    length = float(np.linalg.norm(across))
    return across / length if length > 0.9 else None


def same_plane(first: Frame, second: Frame) -> bool:
    """Whether two frames have the same orientation."""
    if first.orientation is None or second.orientation is None:
        return first.orientation is second.orientation
    return bool(np.allclose(first.orientation, second.orientation, rtol=0, atol=_SAME_DIRECTION))


def stack_frames(frames: Sequence[Frame]) -> Stack:
    """Put frames in order along the normal of their slices.

    Args:
        frames: of one series, in any order.

    Raises:
        NoStack: different sizes, planes or pixel sizes, no positions, the same place twice, missing or
            unevenly spaced slices.
    """
    _check_alike(frames)
    first = frames[0]
    if len(frames) == 1:
        affine = None
        if first.position is not None and normal_of(first) is not None:
            affine = _affine(first, np.asarray(normal_of(first)) * (first.thickness or 1.0))
        return Stack(volumes=((first,),), affine=affine, spacing_known=first.spacing is not None)
    across = normal_of(first)
    if across is None or any(frame.position is None for frame in frames):
        raise NoStack(
            f"{len(frames)} images without positions, so their order is unknown; "
            "convert the series to NIfTI with a tool of its scanner, or name single files"
        )
    heights = np.array([np.dot(frame.position or (), across) for frame in frames])
    places = _places(frames, heights)
    volumes = _volumes(frames, places)
    if len(volumes[0]) == 1:
        step = across * (first.thickness or 1.0)
    else:
        step = _step(volumes[0], across)
    return Stack(
        volumes=volumes, affine=_affine(volumes[0][0], step), spacing_known=first.spacing is not None
    )


def _check_alike(frames: Sequence[Frame]) -> None:
    sizes = Counter((frame.rows, frame.columns) for frame in frames)
    if len(sizes) > 1:
        shown = ", ".join(f"{n} of {r} x {c}" for (r, c), n in sizes.most_common(4))
        raise NoStack(f"images of different sizes ({shown} pixels); remove those that do not belong to it")
    if any(not same_plane(frames[0], frame) for frame in frames):
        odd = sum(not same_plane(frames[0], frame) for frame in frames)
        raise NoStack(
            f"images of different planes ({odd} of {len(frames)} lie otherwise than the first); "
            "keep those of one plane"
        )
    spacings = {tuple(round(x, 4) for x in frame.spacing) if frame.spacing else None for frame in frames}
    if len(spacings) > 1:
        raise NoStack(
            "images of different pixel sizes "
            f"({', '.join(' x '.join(f'{x:g}' for x in s) if s else 'unknown' for s in list(spacings)[:4])} mm); "
            "keep those of one size"
        )


def _places(frames: Sequence[Frame], heights: NDArray[np.float64]) -> list[list[int]]:
    """Frames at the same height together, from the lowest to the highest."""
    order = np.argsort(heights, kind="stable")
    places: list[list[int]] = [[int(order[0])]]
    for before, index in pairwise(order):
        if heights[index] - heights[before] <= _SAME_PLACE_MM:
            places[-1].append(int(index))
        else:
            places.append([int(index)])
    return places


def _volumes(frames: Sequence[Frame], places: list[list[int]]) -> tuple[tuple[Frame, ...], ...]:
    """The volumes of a series that visits every place equally often."""
    counts = {len(place) for place in places}
    if len(counts) > 1:
        usual = Counter(len(place) for place in places).most_common(1)[0][0]
        odd = next(place for place in places if len(place) != usual)
        if usual == 1:
            one, two = (frames[index] for index in odd[:2])
            raise NoStack(
                f"two images at the same place ({one.path.name} and {two.path.name}); remove one of them"
            )
        raise NoStack(
            f"{len(frames)} images at {len(places)} places, not equally many at each; "
            "images are missing or double, so export the series again"
        )
    for place in places:
        place.sort(key=lambda index: frames[index].order)
    return tuple(tuple(frames[place[number]] for place in places) for number in range(counts.pop()))


def _step(frames: Sequence[Frame], across: NDArray[np.float64]) -> NDArray[np.float64]:
    """From a slice to the next, in mm; may slant against the normal (gantry tilt)."""
    points = np.array([frame.position for frame in frames], dtype=np.float64)
    gaps = np.diff(points @ across)
    usual = float(np.median(gaps))
    allowed = max(_UNEVEN_SHARE * usual, _UNEVEN_MM)
    if np.abs(gaps - usual).max() > allowed:
        raise NoStack(_gap(frames, gaps))
    step = np.asarray((points[-1] - points[0]) / (len(points) - 1), dtype=np.float64)
    astray = np.linalg.norm(points - (points[0] + np.arange(len(points))[:, None] * step), axis=1)
    if astray.max() > max(5 * allowed, 0.2):
        raise NoStack(
            f"slices that do not lie in a line (up to {astray.max():.2g} mm beside it); "
            "resample the series to an even grid"
        )
    return step


def _gap(frames: Sequence[Frame], gaps: NDArray[np.float64]) -> str:
    """What to say about uneven gaps: slices are missing where all are multiples of the smallest."""
    wide, least = int(np.argmax(gaps)), float(gaps.min())
    between = f"between {frames[wide].path.name} and {frames[wide + 1].path.name}"
    steps = np.rint(gaps / least)
    # Beyond as many as are there, they are rather single images of something larger.
    if steps.sum() <= 2 * len(gaps) + 1 and np.abs(gaps - steps * least).max() <= max(
        2 * _UNEVEN_SHARE * least, 2 * _UNEVEN_MM
    ):
        missing = int(steps.sum()) - len(gaps)
        count = f"{missing} slice{'s are' if missing > 1 else ' is'} missing"
        return (
            f"{count} ({gaps[wide]:.3g} mm {between}, else {least:.3g} mm); copy or export the series again"
        )
    return (
        f"unevenly spaced slices ({least:.3g} to {gaps.max():.3g} mm, widest {between}); "
        "resample the series to an even grid"
    )


def _affine(first: Frame, step: NDArray[np.float64]) -> NDArray[np.float64]:
    orientation = first.orientation or ()
    rows, columns = first.spacing or (1.0, 1.0)
    affine = np.eye(4)
    affine[:3, 0] = np.array(orientation[:3]) * columns
    affine[:3, 1] = np.array(orientation[3:]) * rows
    affine[:3, 2] = step
    affine[:3, 3] = first.position
    return affine
