"""Images that are there twice: equal pixel for pixel."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from unlesion.doctor.examination import Measured, Seen
from unlesion.doctor.finding import Finding
from unlesion.doctor.sight import Sight


class Copies(Measured):
    """No image is there twice, in one split or in two."""

    name = "digest"

    def measure(self, sight: Sight) -> str:
        digest = hashlib.sha256()
        for image in sight.channels:
            digest.update(str(image.shape).encode())
            digest.update(np.ascontiguousarray(image).tobytes())
        return digest.hexdigest()

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        known = self.known(seen)
        same: defaultdict[str, list[Seen]] = defaultdict(list)
        for one, digest in known:
            same[digest].append(one)
        across: dict[str, str] = {}
        within: dict[str, str] = {}
        for group in same.values():
            if len(group) < 2:
                continue
            found = across if len({one.entry.split for one in group}) > 1 else within
            for one, other in zip(group, [*group[1:], group[0]], strict=True):
                found[one.key] = f"as {other.key}"
        if across:
            yield Finding(
                code="duplicates.across-splits",
                level="error",
                where=tuple(across),
                what="the same pixels as an image of another split",
                detail=next(iter(across.values())),
                mend="keep one of them, or put both into one split: results would flatter",
                of=len(known),
            )
        if within:
            yield Finding(
                code="duplicates.within-split",
                level="warning",
                where=tuple(within),
                what="the same pixels as another image of its split",
                detail=next(iter(within.values())),
                mend="keep one of them, or check whether the export mixed up names",
                of=len(known),
            )
