"""Traces of lossy compression: what JPEG rounds away in blocks of 8 x 8 pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from unlesion.doctor.examination import Measured, Seen
from unlesion.doctor.finding import Finding
from unlesion.doctor.sight import Sight

# Measured: about 0.5 in pictures that were JPEG files of quality 75 to 95 once, -0.02 to 0.1 in others.
COMPRESSED = 0.25
# A cohort counts as compressed if this part of its pictures does.
SHARE = 0.5
# Blocks are enough to tell.
_BLOCKS = 200
# Coefficients of fine detail, and below which one counts as rounded to 0 (grey values).
_FINE = np.add.outer(np.arange(8), np.arange(8)) >= 7
_ZERO = 0.5


class Compression(Measured):
    """No picture of 8 bit was a JPEG file once."""

    name = "jpeg"

    def measure(self, sight: Sight) -> float | None:
        if not sight.grid.is_flat or sight.grid.family != "picture" or float(sight.image.max()) > 255:
            return None
        return jpeg_trace(sight.image[:, :, 0])

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        sources: defaultdict[tuple[str, tuple[str, ...]], list[tuple[str, float]]] = defaultdict(list)
        for one, value in self.known(seen):
            sources[one.entry.columns.get("source", ""), one.group].append((one.key, value))
        for (source, modality), values in sources.items():
            lossy = [(key, value) for key, value in values if value > COMPRESSED]
            if len(lossy) < SHARE * len(values):
                continue
            name = " ".join(filter(None, (source, *modality)))
            yield Finding(
                code="pixels.jpeg",
                level="note",
                where=tuple(key for key, _ in lossy),
                what=f"{name + ': ' if name else ''}JPEG has rounded fine detail away in blocks of 8 x 8 pixels",
                mend="use uncompressed originals where there are any: small anomalies are changed by it",
                of=len(values),
                value=float(np.median([value for _, value in values])),
            )


def jpeg_trace(picture: NDArray[Any]) -> float:
    """How much more fine detail is exactly absent in JPEG's own blocks than in blocks between them.

    JPEG rounds the cosine coefficients of each 8 x 8 block, those of fine detail mostly to 0. In blocks that
    are moved by half a block, they are not.

    Args:
        picture: (rows, columns), values of 0 to 255.

    Returns:
        Share of coefficients near 0 in aligned blocks less that in moved ones, -1 to 1; 0 where there is
        too little to see.
    """
    shares = []
    for offset in (0, 4):
        part = picture[offset:, offset:]
        rows, columns = (size // 8 for size in part.shape)
        grid = part[: 8 * rows, : 8 * columns].reshape(rows, 8, columns, 8)
        blocks = grid.transpose(0, 2, 1, 3).reshape(-1, 8, 8).astype(np.float32)
        # Flat blocks have no detail, however they were stored.
        blocks = blocks[blocks.std(axis=(1, 2)) > 2]
        if len(blocks) < 10:
            return 0.0
        blocks = blocks[:: max(1, len(blocks) // _BLOCKS)]
        detail = np.abs(dctn(blocks, axes=(1, 2), norm="ortho"))[:, _FINE]
        shares.append(float((detail < _ZERO).mean()))
    return shares[0] - shares[1]
