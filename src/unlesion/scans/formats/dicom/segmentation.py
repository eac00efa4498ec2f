"""What was found in a DICOM series as a DICOM segmentation, for viewers and archives that know nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.files import whole_file
from unlesion.scans.checks import reason
from unlesion.scans.formats.choice import chosen_volume
from unlesion.scans.formats.dicom.reading import array_to_frames, stacked
from unlesion.scans.formats.dicom.stack import Stack
from unlesion.scans.grid import Grid

LABEL = "Unusual for the healthy scans of the run"
# Behind those of most scanners, so that it stands last in a study.
SERIES_NUMBER = 9000


def write_segmentation(
    path: Path,
    marked: NDArray[np.bool_],
    grid: Grid,
    *,
    source: Path,
    files: Sequence[Path] = (),
    volume: int | None = None,
    algorithm: str,
    version: str,
    mark: str = "",
) -> bool:
    """Write a mask as a binary DICOM SEG that refers to the images of the series it was found in.

    As the standard asks, it carries over who the patient is and which study it belongs to.

    Args:
        path: the file to write.
        marked: (rows, columns, slices) on the scan's canonical grid.
        grid: of the scan.
        source: the path that the scan was read from.
        files: those of its series, where `source` holds others besides.
        volume: which volume of a series that holds several, counted from 0.
        algorithm: what found it.
        version: of that.
        mark: same mark, same identifiers.

    Returns:
        Whether anything was written: a mask that marks nothing is not.

    Raises:
        BadInput: the series says not where its images lie, is spread over several multi-frame files, holds several volumes
            in one, or lacks what a segmentation needs.
    """
    if not marked.any():
        return False
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    series, stack = stacked(source, files)
    if stack.affine is None:
        raise BadInput(f"{source}: its headers do not say where its images lie; a DICOM SEG has to")
    images, pixels = _images_and_pixels(source, stack, array_to_frames(grid.to_file(marked)), volume)
    identity = [series.headers[0].series, mark, algorithm, version]
    try:
        with warnings.catch_warnings(action="ignore"):
            found = highdicom.seg.SegmentDescription(
                segment_number=1,
                segment_label=LABEL,
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Lesion,
                algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=highdicom.AlgorithmIdentificationSequence(
                    name=algorithm, version=version, family=codes.DCM.ArtificialIntelligence
                ),
            )
            segmentation = highdicom.seg.Segmentation(
                source_images=images,
                pixel_array=pixels.astype(np.uint8),
                segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=[found],
                series_instance_uid=generate_uid(entropy_srcs=[*identity, "series"]),
                series_number=SERIES_NUMBER,
                sop_instance_uid=generate_uid(entropy_srcs=[*identity, "instance"]),
                instance_number=1,
                manufacturer="unlesion",
                manufacturer_model_name="unlesion",
                software_versions=version,
                device_serial_number="0",
                content_description="Research use only; not a medical device",
                series_description="unlesion: research use only",
            )
    except Exception as error:  # whatever the headers of a series make of it
        raise BadInput(f"{source}: no DICOM SEG can refer to it ({reason(error)})") from error
    with whole_file(path) as partial:
        segmentation.save_as(partial)
    return True


def _images_and_pixels(
    source: Path, stack: Stack, pixels: NDArray[np.bool_], volume: int | None
) -> tuple[list[Any], NDArray[np.bool_]]:
    """The images to refer to, and for each (or each frame of the one multi-frame file) what is marked."""
    import pydicom

    frames = stack.volumes[chosen_volume(source, len(stack.volumes), volume)]
    paths = list(dict.fromkeys(frame.path for frame in frames))
    with warnings.catch_warnings(action="ignore"):
        images = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    if len(paths) == len(frames) and all(int(image.get("NumberOfFrames") or 1) == 1 for image in images):
        return images, pixels
    if len(paths) > 1 or len(stack.volumes) > 1:
        raise BadInput(
            f"{source}: multi-frame files, several of them or of several volumes, to which no DICOM SEG can refer; only NIfTI is written"
        )
    out = np.zeros((int(images[0].NumberOfFrames), *pixels.shape[1:]), dtype=bool)
    for frame, plane in zip(frames, pixels, strict=True):
        out[frame.index] = plane
    return images, out
