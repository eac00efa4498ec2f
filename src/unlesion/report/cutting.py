"""Cutting one slice out of a scan for the gallery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from unlesion.evaluation.fidelity import Units
from unlesion.evaluation.scan import EvaluatedScan
from unlesion.report.gallery import GalleryCase, Kind
from unlesion.report.slices import crop_box
from unlesion.report.tiles import SIDE, shrink, tile_size


def cut_case(
    *,
    key: str,
    kind: Kind,
    at: int,
    image: NDArray[np.floating],
    anomaly: NDArray[np.floating],
    roi: NDArray[np.bool_],
    window: tuple[float, float],
    threshold: float,
    healthy: NDArray[np.floating] | None = None,
    lesions: NDArray[np.bool_] | None = None,
    found: NDArray[np.bool_] | None = None,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    sides: tuple[str, str] | None = None,
    modality: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
) -> GalleryCase:
    """One slice as a gallery case: cropped to the roi, shrunk to a tile's size, in display units.

    Args:
        key: name of the scan.
        kind: why it is shown.
        at: number of the slice.
        image: (rows, columns, slices), or (channels, rows, columns, slices): the first one is shown.
        anomaly: (rows, columns, slices), the raw map.
        roi: like it.
        window: image values drawn black and white.
        threshold: map value that becomes 1.
        healthy: like `image`.
        lesions: like `anomaly`, annotated.
        found: like `anomaly`, what was found.
        spacing: mm along rows, columns (and slices).
        sides: of the patient at the left and right edge; None unknown.
        modality: one name per channel.
        facts: printed beside the case.
    """
    truth = None if lesions is None else lesions[:, :, at]
    box = crop_box(roi[:, :, at], truth, shape=(anomaly.shape[0], anomaly.shape[1]))
    low, high = window
    width = high - low if high > low else 1.0
    plane = anomaly[:, :, at][box]
    mm = (float(spacing[0]), float(spacing[1]))
    # Never enlarged here: pages do that.
    wanted = tile_size((plane.shape[0], plane.shape[1]), spacing=mm, side=SIDE)
    size = (min(wanted[0], plane.shape[0]), min(wanted[1], plane.shape[1]))

    def grey(voxels: NDArray[np.floating]) -> NDArray[np.float32]:
        volume = voxels[0] if voxels.ndim == 4 else voxels
        return shrink((volume[:, :, at][box] - low) / width, size)

    def mask(voxels: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        if voxels is None:
            return None
        share = shrink(voxels[:, :, at][box].astype(np.float32), size)
        # What is smaller than a pixel of the tile must not vanish.
        return np.asarray((share > 0) & (share >= min(0.5, 0.9 * float(share.max()))))

    channels = image.shape[0] if image.ndim == 4 else 1
    channel = "" if channels == 1 else (modality[0] if modality and modality[0] else "channel 1")
    slices = anomaly.shape[2]
    where = {"slice": f"{at + 1} of {slices}"} if slices > 1 else {}
    return GalleryCase(
        key=key,
        kind=kind,
        image=grey(image),
        healthy=None if healthy is None else grey(healthy),
        anomaly=shrink(plane / threshold, size),
        truth=mask(lesions),
        found=mask(found),
        spacing=(mm[0] * plane.shape[0] / size[0], mm[1] * plane.shape[1] / size[1]),
        sides=sides,
        channel=channel,
        facts={**(facts or {}), **where},
    )


def cut_scan(
    scan: EvaluatedScan,
    *,
    kind: Kind,
    at: int,
    threshold: float,
    facts: Mapping[str, str] | None = None,
) -> GalleryCase:
    """One slice of a measured scan and its native map; the scan must come with its image.

    Args:
        scan: as measured, on its own grid.
        kind: why it is shown.
        at: number of the slice.
        threshold: map value that becomes 1.
        facts: printed beside the case.

    Raises:
        ValueError: it came without its image.
    """
    if scan.image is None:
        raise ValueError(f"{scan.key}: came without its image")
    return cut_case(
        key=scan.key,
        kind=kind,
        at=at,
        image=scan.image,
        anomaly=scan.maps["native"][0],
        roi=scan.roi,
        window=window_of(scan),
        threshold=threshold,
        healthy=scan.healthy,
        lesions=scan.lesions,
        spacing=scan.spacing or (1.0, 1.0, 1.0),
        sides=scan.sides,
        modality=scan.modality,
        facts=facts,
    )


def window_of(scan: EvaluatedScan) -> tuple[float, float]:
    """The scan's own grey values that are drawn black and white: the recipe's, so that they do not depend on its lesions.

    Raises:
        ValueError: the scan came without its image.
    """
    if scan.image is None:
        raise ValueError(f"{scan.key}: came without its image")
    units = scan.units or Units.of(scan.image, scan.roi)
    low = float(np.ravel(units.offset)[0])
    return low, low + float(np.ravel(units.scale)[0])
