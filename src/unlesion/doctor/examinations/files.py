"""Files that are missing, cannot be read, or hold nothing that can be used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from unlesion.doctor.examination import Seen, Tabular
from unlesion.doctor.finding import Finding, Level

# By code: level, what, how to mend.
KINDS: dict[str, tuple[Level, str, str]] = {
    "file.missing": ("error", "a file of the scan is missing", "correct the path, or delete the row"),
    "file.unreadable": (
        "error",
        "a file of the scan cannot be read",
        "do what is said there, or leave the image out",
    ),
    "image.too-small": (
        "error",
        "fewer than 16 pixels in the slice plane",
        "leave thumbnails out, or export the full image",
    ),
    "image.not-finite": ("error", "no voxel is finite", "export the image again, or leave it out"),
    "image.constant": (
        "error",
        "every voxel has the same value",
        "check the export, or leave the image out",
    ),
    "channel.other-grid": (
        "error",
        "the channels of the scan lie on different grids",
        "bring volumes to one grid with `unlesion align`",
    ),
    "mask.other-grid": ("error", "the mask lies on another grid than its image", "resample the mask"),
    "roi.other-grid": ("error", "the roi lies on another grid than its image", "resample the roi"),
    "roi.empty": ("error", "the roi marks nothing", "correct it, or leave roi_path empty for an estimate"),
    "spacing.refused": (
        "error",
        "spacing_mm lacks the slices of a volume",
        "give one number, or rows, columns and slices",
    ),
    "twin.other-grid": ("error", "the twin lies on another grid than its image", "resample the twin"),
    "mask.not-finite": ("error", "the mask holds NaN or infinity", "save it as integers, 0 outside lesions"),
    "roi.not-finite": ("error", "the roi holds NaN or infinity", "save it as integers, 0 outside"),
    "twin.not-finite": ("warning", "the twin holds NaN or infinity", "they count as 0; export it again"),
    "doctor.failed": (
        "warning",
        "a failure of ours while looking at it",
        "please report it; the other examinations went on",
    ),
}


class Files(Tabular):
    """Every file opens, and mask, roi and twin lie on the grid of their image."""

    name = "files"

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        found: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for one in seen:
            for problem in one.problems:
                found[problem.code].setdefault(one.key, problem.message)
        for code, messages in found.items():
            level, what, mend = KINDS[code]
            yield Finding(
                code=code,
                level=level,
                where=tuple(messages),
                what=what,
                detail=next(iter(messages.values())),
                mend=mend,
                of=len(seen),
            )
