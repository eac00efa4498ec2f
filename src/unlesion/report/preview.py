"""`preview.png`: one picture per detected scan, on the fixed scale of its run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from unlesion.files import whole_file
from unlesion.modality import UNNAMED, condition_name
from unlesion.report.colours import INK, LINE, MUTED, TOP, colour_map
from unlesion.report.cutting import cut_case
from unlesion.report.gallery import GalleryCase
from unlesion.report.numbers import plain
from unlesion.report.page import scan_name
from unlesion.report.slices import choose_slices
from unlesion.report.tiles import contour_tile, font, grey_tile, map_tile, mark_sides, tile_size
from unlesion.report.words import NOTICE, UNDECIDED, p_in_words, sides_in_words
from unlesion.scans import sides_of
from unlesion.wording import count

if TYPE_CHECKING:
    from unlesion.calibration import Calibration
    from unlesion.detection import Detection
    from unlesion.scans import Scan

GAP = 6
EDGE = 16
# How wide the colour bar is.
BAR = 220


def write_preview(
    path: Path,
    scan: Scan,
    detection: Detection,
    *,
    calibration: Calibration | None = None,
    window: tuple[float, float] | None = None,
    slices: int = 6,
) -> None:
    """Write the picture of a detection.

    Args:
        path: the PNG file.
        scan: what was looked at.
        detection: what was found.
        calibration: gives the number of subjects behind the p-value, and the scale of colours where the
            detection's own threshold is 0. Without a threshold colours end at the map's own maximum, and
            the picture says so.
        window: image values drawn black and white; by default the 1st to the 99.5th percentile of the
            scan inside its roi, for the scan and its healthy counterpart alike.
        slices: at most so many of a volume.
    """
    # Colours, outlines and numbers follow the same threshold, whatever --rate is.
    threshold, rate = detection.threshold, detection.rate
    if calibration is not None and rate is not None:
        threshold, rate = calibration.drawn_at(rate) or (None, None)
    threshold = threshold if threshold and threshold > 0 else None
    unit = threshold or max(float(detection.anomaly.max()) / TOP, 1e-12)
    low_high = window or _window(scan.voxels[0], detection.roi)
    chosen = choose_slices(anomaly=detection.anomaly, roi=detection.roi, count=slices)
    region = np.broadcast_to(detection.roi.any(axis=2, keepdims=True), detection.roi.shape)
    sides = sides_of(scan.grid)
    cases = [
        cut_case(
            key=scan.key,
            kind="lesion",
            at=at,
            image=scan.voxels,
            anomaly=detection.anomaly,
            # One box for all slices, so that they line up.
            roi=region,
            window=low_high,
            threshold=unit,
            healthy=detection.healthy,
            # Without a threshold nothing was looked for: no empty outlines that read as "nothing found".
            found=None if detection.threshold is None else detection.lesions,
            spacing=scan.grid.spacing,
            sides=sides,
            modality=scan.modality,
        )
        for at in chosen
    ]
    subjects = None if calibration is None else calibration.n_subjects
    lines = [_summary(detection), p_in_words(detection.p_value, subjects)]
    lines = lines if detection.threshold is not None else [lines[0], UNDECIDED]
    labels = [f"slice {at + 1} of {scan.grid.shape[2]}" for at in chosen] if len(chosen) > 1 else []
    picture = draw_preview(
        cases,
        title=scan.key,
        lines=lines,
        warnings=detection.warnings,
        labels=labels,
        scale=_scale_words(detection, threshold, rate, condition_name(scan.modality)),
        fixed=threshold is not None,
    )
    with whole_file(Path(path)) as partial:
        picture.save(partial, "PNG", optimize=True)


def draw_preview(
    cases: list[GalleryCase],
    *,
    title: str,
    lines: list[str],
    labels: list[str],
    scale: str,
    warnings: Sequence[str] = (),
    fixed: bool = True,
) -> Image.Image:
    """The picture: a column per slice (a row of tiles for a single one), text above, the scale below.

    Args:
        cases: one a slice.
        title: the scan's name; cut off where it is too long.
        lines: what was found.
        labels: one a slice, for several.
        scale: what the colours mean, in words.
        warnings: all of them are written out, in as many lines as they need.
        fixed: whether colours end at twice the threshold, the same for all scans.
    """
    side = 256 if len(cases) == 1 else 176
    size = tile_size(cases[0].image.shape, spacing=cases[0].spacing, side=side)
    strips = [_strip(case, size) for case in cases]
    names = [name for name, _ in strips[0]]
    flat = len(cases) == 1
    columns, rows = (len(names), 1) if flat else (len(cases), len(names))
    left = EDGE if flat else EDGE + 112
    line = 19
    width = max(left + columns * (size[1] + GAP) - GAP + EDGE, 620)
    text = [(part, INK) for words in lines for part in _wrapped(words, width - 2 * EDGE, 13)]
    for warning in warnings:
        text += [(part, MUTED) for part in _wrapped(f"! {warning}", width - 2 * EDGE, 13)]
    top = EDGE + 26 + line * len(text) + 12 + 18
    sides = sides_in_words(case.sides for case in cases)
    meaning = _wrapped(scale, width - (left + BAR + 10) - EDGE, 11)
    height = top + rows * (size[0] + GAP) + (74 if sides else 58) + 14 * (len(meaning) - 1)
    picture = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((EDGE, EDGE), _fitting(title, width - 2 * EDGE, 17), fill=INK, font=font(17))
    for number, (words, ink) in enumerate(text):
        pen.text((EDGE, EDGE + 27 + line * number), words, fill=ink, font=font(13))
    for number, label in enumerate(names if flat else labels):
        pen.text((left + number * (size[1] + GAP), top - 17), label, fill=MUTED, font=font(11))
    for across, strip in enumerate(strips):
        for down, (name, tile) in enumerate(strip):
            x, y = (down, 0) if flat else (across, down)
            picture.paste(tile, (left + x * (size[1] + GAP), top + y * (size[0] + GAP)))
            if not flat and across == 0:
                pen.text((EDGE, top + y * (size[0] + GAP) + 2), name, fill=MUTED, font=font(12))
    _scale(picture, pen, left, top + rows * (size[0] + GAP) + 8, words=meaning, fixed=fixed)
    pen.text((EDGE, height - 36), sides, fill=MUTED, font=font(11))
    pen.text((EDGE, height - 20), NOTICE, fill=MUTED, font=font(11))
    return picture


def _strip(case: GalleryCase, size: tuple[int, int]) -> list[tuple[str, Image.Image]]:
    tiles = [(scan_name(case), mark_sides(grey_tile(case.image, size), case.sides))]
    if case.healthy is not None:
        tiles.append(("pseudo-healthy", grey_tile(case.healthy, size)))
    tiles.append(("anomaly map", map_tile(case.anomaly, size)))
    if case.found is not None:
        tiles.append(("found", contour_tile(case.image, size, found=case.found)))
    return tiles


def _scale(
    picture: Image.Image, pen: ImageDraw.ImageDraw, x: int, y: int, *, words: list[str], fixed: bool
) -> None:
    """The colour bar, with its threshold where colours are fixed, and what it means."""
    bar = np.tile(colour_map(np.linspace(0.0, TOP, BAR)), (10, 1, 1))
    picture.paste(Image.fromarray(bar, "RGB"), (x, y))
    pen.rectangle((x - 1, y - 1, x + BAR, y + 10), outline=LINE)
    if fixed:
        pen.line((x + BAR // 2, y - 3, x + BAR // 2, y + 12), fill=INK)
    for number, line in enumerate(words):
        pen.text((x + BAR + 10, y - 2 + 14 * number), line, fill=MUTED, font=font(11))


def _scale_words(detection: Detection, threshold: float | None, rate: float | None, modality: str) -> str:
    if threshold is None:
        why = "not calibrated" if detection.threshold is None else "the threshold is 0"
        return f"map: 0 to its own maximum ({why}: colours cannot be compared between scans)"
    exceed = "" if rate is None else f", which {100 * rate:g} % of healthy voxels exceed"
    # Where the threshold itself is 0, colours need a stricter one.
    which = "the" if threshold == detection.threshold else "a stricter"
    of_it = "" if UNNAMED in modality else f"{modality} "
    return f"map: 0 to twice {which} threshold (tick){exceed}; the same for all {of_it}scans"


def _summary(detection: Detection) -> str:
    words = [f"score {detection.score:.3g}"]
    if detection.flagged is not None and detection.alpha is not None:
        state = "flagged" if detection.flagged else "not flagged"
        words.append(f"{state} at {detection.alpha:g}")
    if detection.threshold is not None:
        volume = "" if detection.volume_ml is None else f", {plain(detection.volume_ml)} ml"
        volume = volume if detection.area_mm2 is None else f", {plain(detection.area_mm2)} mm²"
        words.append(f"{count(detection.components or 0, 'region')} above the threshold{volume}")
    return "  ·  ".join(words)


def _window(image: NDArray[np.float32], roi: NDArray[np.bool_]) -> tuple[float, float]:
    inside = image[roi] if roi.any() else image.ravel()
    low, high = np.percentile(inside, [1.0, 99.5])
    # Background is drawn black even where the roi's darkest tissue is brighter than it.
    return min(float(low), max(float(image.min()), 0.0)), float(high)


def _wrapped(text: str, width: int, points: int) -> list[str]:
    """A text in as many lines as it needs; words longer than a line are cut into pieces."""
    lines: list[str] = []
    for word in text.split():
        if lines and font(points).getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
            continue
        lines.append("")
        for letter in word:
            if font(points).getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


def _fitting(text: str, width: int, points: int) -> str:
    """As much of a line as fits."""
    if font(points).getlength(text) <= width:
        return text
    while text and font(points).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
