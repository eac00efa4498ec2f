"""Pictures: grey PNG, JPEG and TIFF of 8 or 16 bit (TIFF also float)."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from unlesion.errors import BadInput
from unlesion.files import whole_file
from unlesion.scans.checks import reason
from unlesion.scans.formats.choice import chosen_volume
from unlesion.scans.formats.unplaced import unplaced_grid
from unlesion.scans.grid import Grid

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

# The EXIF (and TIFF) tag that says how a picture is to be turned.
ORIENTATION = 0x0112
# The TIFF tag that says what 0 means: 0 white, 1 black.
PHOTOMETRIC = 262

_GREY_MODES = ("L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def read(path: Path, *, volume: int | None = None) -> tuple[NDArray[np.float32], Grid]:
    """Read a picture as one slice in the intensity units of the file (0..255, 0..65535, or floats).

    A picture whose metadata say how to turn it (EXIF) is turned, as every viewer does.

    Args:
        path: the file.
        volume: which page of a TIFF with several, counted from 0.

    Raises:
        BadInput: not readable, truncated, or in colour (unless all colour channels are equal).
    """
    from PIL import Image

    try:
        # Pillow warns of odd metadata, which no pixel depends on.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(path, formats=("PNG", "JPEG", "TIFF")) as picture,
        ):
            pages = int(getattr(picture, "n_frames", 1))
            if pages > 1:
                picture.seek(chosen_volume(path, pages, volume))
            if picture.format == "TIFF" and picture.info.get("compression") == "raw" and _quarter(picture):
                # Pillow (13.0) takes its rows for columns and mixes the pixels up.
                raise BadInput(f"{path}: an uncompressed TIFF on its side; save it upright, or as PNG")
            picture.load()
            # Asked after loading: Pillow turns TIFFs by itself, and forgets that they were to be turned.
            values = _upright(_grey(path, picture), picture.getexif().get(ORIENTATION, 1))
    except BadInput:
        raise
    except Exception as error:  # a broken file makes decoders raise almost anything
        # Pillow names the path again in some messages.
        said = reason(error).replace(f" '{path}'", "").replace(f" {str(path)!r}", "")
        raise BadInput(f"{path}: not readable as a picture ({said}); export it again as PNG") from error
    rows, columns = values.shape
    grid = unplaced_grid(shape=(rows, columns, 1), file_shape=(rows, columns), family="picture")
    return np.ascontiguousarray(values.reshape(rows, columns, 1), dtype=np.float32), replace(
        grid, volumes=pages
    )


def write(stem: Path, array: NDArray[np.generic], grid: Grid, *, dtype: DTypeLike = np.uint8) -> Path:
    """Write one slice as a grey PNG of 8 or 16 bit.

    Args:
        stem: the path without its ending; `.png` is added.
        array: (rows, columns, 1), values in the range of `dtype`.
        grid: of the scan.
        dtype: uint8 or uint16.

    Raises:
        BadInput: the place cannot be written.
    """
    return write_png(stem, grid.to_file(array).astype(dtype, copy=False))


def write_png(stem: Path, pixels: NDArray[Any]) -> Path:
    """Write (rows, columns) of uint8 or uint16 as `stem`.png."""
    from PIL import Image

    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected (rows, columns) of uint8 or uint16, got {pixels.shape} of {pixels.dtype}")
    path = stem.with_name(stem.name + ".png")
    with whole_file(path) as partial:
        Image.fromarray(np.ascontiguousarray(pixels)).save(partial, format="PNG")
    return path


def _quarter(picture: Any) -> bool:
    """Whether a picture is to be turned by 90 degrees."""
    return picture.getexif().get(ORIENTATION) in (5, 6, 7, 8)


def _upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels turned and mirrored as the EXIF orientation (1 to 8) asks; what is no orientation asks nothing."""
    if orientation in (5, 6, 7, 8):
        values = values.T
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values[:, ::-1] if orientation in (2, 3, 6, 7) else values


def _grey(path: Path, picture: Any) -> NDArray[Any]:
    """The pixels of an opened picture as (rows, columns), if they are grey."""
    if picture.mode in _GREY_MODES:
        # Pillow inverts pictures whose 0 is white, but not those of 16 bit.
        white = picture.mode.startswith("I;16") and getattr(picture, "tag_v2", {}).get(PHOTOMETRIC) == 0
        return np.uint16(65535) - np.asarray(picture) if white else np.asarray(picture)
    if picture.mode == "1":
        return np.asarray(picture.convert("L"))
    if picture.format == "PNG" and _png_depth(path) == 16:
        # Pillow would silently keep only the upper 8 bits.
        raise BadInput(f"{path}: a 16-bit PNG with colour or transparency; save it as 16-bit grey")
    if picture.mode in ("P", "PA", "LA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"):
        channels = np.asarray(picture.convert("RGBA"))
        if (channels[..., 3] != 255).any():
            raise BadInput(f"{path}: the picture is partly transparent; save it as opaque grey")
        red, green, blue = (channels[..., index] for index in range(3))
        if np.array_equal(red, green) and np.array_equal(red, blue):
            return red
        raise BadInput(f"{path}: a colour picture; only grey images can be read, so convert it to grey")
    raise BadInput(f"{path}: pixels of kind {picture.mode} cannot be read; save it as grey, 8 or 16 bit")


def _png_depth(path: Path) -> int:
    """Bits a channel, from the header of a PNG file."""
    with path.open("rb") as file:
        head = file.read(25)
    return head[24] if len(head) == 25 else 0
