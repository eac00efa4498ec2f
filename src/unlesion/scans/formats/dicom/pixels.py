"""Stored pixels of DICOM files to real values."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.errors import BadInput
from unlesion.scans.checks import reason
from unlesion.scans.formats.dicom.header import Frame

# No file holds more pixels than this for each of its bytes, however it is compressed.
_MOST_PACKED = 2000


# Projections have no units of their own. Elsewhere (CT, MR, PT) values mean something, however they are shown.
_PROJECTIONS = frozenset({"CR", "DX", "DR", "MG", "RF", "XA", "IO", "PX", "RG"})


def is_negative(header: Any) -> bool:
    """Whether an image is a projection whose low values are meant to be white (MONOCHROME1).

    Args:
        header: anything whose `get` gives the values of DICOM keywords.
    """
    return (
        header.get("PhotometricInterpretation") == "MONOCHROME1"
        and str(header.get("Modality")) in _PROJECTIONS
    )


def read_frames(frames: Sequence[Frame]) -> NDArray[np.float32]:
    """The images of frames, each file decoded once.

    Args:
        frames: of one size.

    Returns:
        (slices, rows, columns) float32 with every frame's own slope and intercept (or table) applied.
        Projections whose low values are white, see `is_negative`, are turned round within the range of stored
        values.

    Raises:
        BadInput: truncated, a compression that cannot be decoded, or pixels of another size than said.
    """
    _check_length(frames)
    out = np.empty((len(frames), frames[0].rows, frames[0].columns), dtype=np.float32)
    wanted: defaultdict[Path, dict[int, int]] = defaultdict(dict)
    for slot, frame in enumerate(frames):
        wanted[frame.path][frame.index] = slot
    for path, slots in wanted.items():
        _fill(out, path, slots)
    return out


def _check_length(frames: Sequence[Frame]) -> None:
    """Refuse headers that promise more than their files can hold, before memory is asked for."""
    promised = sum(frame.rows * frame.columns for frame in frames)
    there = sum(path.stat().st_size for path in {frame.path for frame in frames})
    if promised > there * _MOST_PACKED:
        raise BadInput(
            f"{frames[0].path}: {promised} pixels promised by the header, {there} bytes in the files; truncated, so "
            "copy or export it again"
        )


def _fill(out: NDArray[np.float32], path: Path, slots: dict[int, int]) -> None:
    """Put the frames of one file into their slots of `out`."""
    import pydicom
    from pydicom.pixels import iter_pixels

    syntax = "unknown"
    try:
        with warnings.catch_warnings(action="ignore"):
            data = pydicom.dcmread(path, force=True)
            syntax = _transfer_syntax(data)
            indices = sorted(slots)
            for index, stored in zip(indices, iter_pixels(data, indices=indices, raw=True), strict=True):
                if stored.shape != out.shape[1:]:
                    raise ValueError(f"pixels of shape {stored.shape}, {out.shape[1:]} expected")
                out[slots[index]] = _values(data, stored, index)
    except (ImportError, NotImplementedError, RuntimeError) as error:
        raise BadInput(
            f"{path}: compressed as {syntax}, which cannot be decoded here ({reason(error)}); "
            "decompress the series with a tool of your archive, or with gdcmconv --raw"
        ) from error
    except Exception as error:  # a broken file makes decoders raise almost anything
        raise BadInput(
            f"{path}: pixels not readable, or truncated ({reason(error)}; transfer syntax {syntax}); "
            "copy or export it again"
        ) from error


def _transfer_syntax(data: Any) -> str:
    """The name of the transfer syntax; set from how the file was read where it does not say."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if not getattr(data, "file_meta", None):
        data.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in data.file_meta:
        implicit, little = data.original_encoding
        plain = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        data.file_meta.TransferSyntaxUID = plain if little else ExplicitVRBigEndian
    return str(data.file_meta.TransferSyntaxUID.name)


def _values(data: Any, stored: NDArray[Any], index: int) -> NDArray[np.float64]:
    """Stored values to the modality's own units."""
    inverted = is_negative(data) and stored.dtype.kind in "iu"
    if data.get("ModalityLUTSequence"):
        from pydicom.pixels import apply_modality_lut

        looked_up = np.asarray(apply_modality_lut(stored, data), dtype=np.float64)
        bits = int(data.ModalityLUTSequence[0].LUTDescriptor[2])
        return 2**bits - 1 - looked_up if inverted else looked_up
    values = stored.astype(np.float64)
    if inverted:
        # 0 and the highest value change places; of signed values the lowest and the highest.
        values = (-1.0 if data.get("PixelRepresentation") else 2.0 ** int(data.BitsStored) - 1) - values
    transform = _functional(data, "PixelValueTransformationSequence", index) or data
    slope, intercept = transform.get("RescaleSlope"), transform.get("RescaleIntercept")
    slope = 1.0 if slope in (None, "") else float(slope)
    intercept = 0.0 if intercept in (None, "") else float(intercept)
    if slope == 0:
        raise ValueError("the rescale slope is 0")
    return values * slope + intercept


def _functional(data: Any, group: str, index: int) -> Any:
    """The item of a functional group of a frame: its own, or the shared one; None where there is none."""
    own = data.get("PerFrameFunctionalGroupsSequence")
    places = [own[index] if own and index < len(own) else None]
    shared = data.get("SharedFunctionalGroupsSequence")
    places.append(shared[0] if shared else None)
    for place in places:
        items = None if place is None else place.get(group)
        if items:
            return items[0]
    return None
