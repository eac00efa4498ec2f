"""Tiles: small pictures of a slice, drawn pixel by pixel with Pillow."""

from __future__ import annotations

import base64
import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from unlesion.report.colours import FOUND, TRUTH, colour_map, rgb

# Longer side of a tile in pixels.
SIDE = 256


def tile_size(
    shape: tuple[int, int], *, spacing: tuple[float, float] = (1.0, 1.0), side: int = SIDE
) -> tuple[int, int]:
    """(rows, columns) of the tile of a slice, longer side `side`, true to millimetres."""
    height, width = shape[0] * spacing[0], shape[1] * spacing[1]
    scale = side / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def grey_tile(image: NDArray[np.floating], size: tuple[int, int]) -> Image.Image:
    """A grey image.

    Args:
        image: (rows, columns) in units of its window: 0 is drawn black, 1 white.
        size: (rows, columns) of the tile.
    """
    values = _resized(image, size, Image.Resampling.LANCZOS)
    return Image.fromarray(np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8), "L").convert("RGB")


def map_tile(anomaly: NDArray[np.floating], size: tuple[int, int]) -> Image.Image:
    """A map on the fixed scale; `anomaly` (rows, columns) in multiples of the threshold."""
    # Bilinear never overshoots: no value is drawn that is not there.
    return Image.fromarray(colour_map(_resized(anomaly, size, Image.Resampling.BILINEAR)), "RGB")


def contour_tile(
    image: NDArray[np.floating],
    size: tuple[int, int],
    *,
    truth: NDArray[np.bool_] | None = None,
    found: NDArray[np.bool_] | None = None,
) -> Image.Image:
    """A grey image with the outlines of what is annotated and what was found."""
    drawn = np.asarray(grey_tile(image, size)).copy()
    for mask, code in ((found, FOUND), (truth, TRUTH)):
        if mask is not None and mask.any():
            drawn[_outline(mask, size)] = rgb(code)
    return Image.fromarray(drawn, "RGB")


def mark_sides(tile: Image.Image, sides: tuple[str, str] | None) -> Image.Image:
    """The tile with a letter in each upper corner for the patient's side there; as it is where None.

    Args:
        tile: a picture of a slice.
        sides: such as ("R", "L"), see `unlesion.scans.sides_of`.
    """
    if sides is None:
        return tile
    marked = tile.copy()
    pen = ImageDraw.Draw(marked)
    edge, points = 3, max(10, tile.width // 16)
    for letter, x, anchor in ((sides[0], edge, "la"), (sides[1], tile.width - edge, "ra")):
        # Legible on bright tissue too.
        pen.text(
            (x, edge),
            letter,
            fill="white",
            font=font(points),
            anchor=anchor,
            stroke_width=1,
            stroke_fill="black",
        )
    return marked


def png(picture: Image.Image) -> bytes:
    """A picture as PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """Bytes as an address that a page can hold."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def shrink(image: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Average (rows, columns) down to `size`; what is smaller already stays as it is."""
    if image.shape[0] <= size[0] and image.shape[1] <= size[1]:
        return np.asarray(image, dtype=np.float32)
    return _resized(np.asarray(image, dtype=np.float32), size, Image.Resampling.BOX)


@cache
def font(points: int) -> Any:
    """A plain typeface that every installation has, because matplotlib carries it."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), points) if path.exists() else ImageFont.load_default(points)


def _resized(
    values: NDArray[np.floating], size: tuple[int, int], how: Image.Resampling
) -> NDArray[np.float32]:
    plain = np.nan_to_num(np.asarray(values, dtype=np.float32))
    if plain.shape == size:
        return plain
    return np.asarray(Image.fromarray(plain, "F").resize((size[1], size[0]), how), dtype=np.float32)


def _outline(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """The border of a mask, about two pixels wide, just outside it so that small lesions stay visible."""
    from scipy import ndimage

    # A lesion of one voxel must not vanish when a large slice becomes a small tile.
    share = _resized(mask.astype(np.float32), size, Image.Resampling.BILINEAR)
    drawn = share >= min(0.5, 0.9 * float(share.max()))
    return np.asarray(ndimage.binary_dilation(drawn, iterations=2) & ~drawn)
