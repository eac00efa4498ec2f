"""What an image looks like beside its population: turned or flipped, and near copies across splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlesion.doctor.examination import Measured, Seen
from unlesion.doctor.finding import Finding
from unlesion.doctor.sight import Sight
from unlesion.doctor.thumbnail import means_of_others, thumbnail, unit

Turn = Callable[[NDArray[Any]], NDArray[Any]]

# A population needs so many other subjects before one image can disagree with it.
FEWEST_OTHERS = 5
# An image disagrees if a turned copy resembles the others by this much more (difference of correlations), ...
GAIN = 0.05
# ... if what is missing to likeness falls to half of what it was (several slices of one subject together tell
# with less), ...
FALLS_TO, FALLS_TO_TOGETHER = 0.5, 0.7
# ... and if it resembles them well. Measured by turning images of four sources upside down, one at a time: found
# are 93 % of stripped T1 slices, 92 % of T1 volumes, 80 % of chest X-rays, and 17 % of FLAIR slices of whole
# heads, which are ovals (47 % where all of a subject's slices are turned); of 4,529 images as they are, none is
# called turned.
LIKENESS = 0.6

# Two images of different subjects whose thumbnails correlate so highly, once the mean image of their
# population is taken away, are one image. Measured: no two subjects of four sources reach 0.9 (pictures; 0.953
# for two volumes of another source than the rest), while copies that were compressed by JPEG, made brighter,
# given another gamma or reduced to 80 % stay above 0.967. Cropped copies are not found.
COPY = 0.965
# The same where there are too few others for a mean image.
COPY_OF_FEW = 0.9995
# Images compared at a time.
_BLOCK = 1024


class Thumbnails(Measured):
    """Base of examinations that compare thumbnails; they share one measurement."""

    name = "thumbnail"

    def measure(self, sight: Sight) -> NDArray[np.float16]:
        return thumbnail(sight.image)

    def groups(self, seen: Sequence[Seen]) -> Iterable[tuple[list[Seen], NDArray[Any]]]:
        """Images of one modality and dimension, with their thumbnails."""
        found: defaultdict[Any, list[tuple[Seen, NDArray[Any]]]] = defaultdict(list)
        for one, small in self.known(seen):
            found[one.group, small.ndim].append((one, small))
        for pairs in found.values():
            yield [one for one, _ in pairs], np.stack([small for _, small in pairs])


class Orientation(Thumbnails):
    """No image is turned or flipped against the others of its modality."""

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        turned: dict[str, tuple[str, float]] = {}
        compared = 0
        for group, thumbnails in self.groups(seen):
            subjects = [one.entry.subject for one in group]
            means, others = means_of_others(unit(thumbnails), subjects, [_height(one) for one in group])
            enough = others >= FEWEST_OTHERS
            compared += int(enough.sum())
            if not enough.any():
                continue
            names, likeness = _likeness(thumbnails, means)
            for index, best in _disagreeing(likeness, np.asarray(subjects), enough).items():
                turned[group[index].key] = (names[best], float(likeness[best, index] - likeness[0, index]))
        if turned:
            (words, _), most = next(iter(turned.values())), max(gain for _, gain in turned.values())
            yield Finding(
                code="orientation.disagrees",
                level="warning",
                where=tuple(turned),
                what="the image is turned or flipped against the others of its modality",
                detail=f"fits them once {words}",
                mend="look at it; turn the picture, or correct the affine of the file",
                of=compared,
                value=most,
            )


class NearCopies(Thumbnails):
    """No image of one subject is nearly an image of another one."""

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        across: dict[str, str] = {}
        within: dict[str, str] = {}
        compared = 0
        for group, thumbnails in self.groups(seen):
            compared += len(group)
            for a, b in _pairs(group, thumbnails):
                if group[a].measured.get("digest") == group[b].measured.get("digest"):
                    continue  # one image, pixel for pixel: another examination says so
                splits = {group[a].entry.split, group[b].entry.split}
                found = across if len(splits) > 1 else within
                found.setdefault(group[a].key, f"as {group[b].key}")
                found.setdefault(group[b].key, f"as {group[a].key}")
        if across:
            yield Finding(
                code="duplicates.near-across-splits",
                level="warning",
                where=tuple(across),
                what="nearly the same image as one of another subject in another split",
                detail=next(iter(across.values())),
                mend="look at both; if they are one person, give them one subject and one split",
                of=compared,
            )
        if within:
            yield Finding(
                code="duplicates.near",
                level="note",
                where=tuple(within),
                what="nearly the same image as one of another subject in the same split",
                detail=next(iter(within.values())),
                mend="look at both; if they are one person, give them one subject: intervals count subjects",
                of=compared,
            )


def _height(one: Seen) -> int | None:
    """Slices are compared with those of about the same height in the head."""
    return None if one.entry.position is None else round(8 * one.entry.position)


def _turns(ndim: int) -> list[tuple[str, Turn]]:
    """All ways to lay an image on its own square or cube, the image as it is first."""
    out: list[tuple[str, Turn]] = []
    words = ("rows", "columns", "slices")
    for order in permutations(range(ndim)):
        for flips in product((False, True), repeat=ndim):

            def turn(
                small: NDArray[Any], order: tuple[int, ...] = order, flips: tuple[bool, ...] = flips
            ) -> NDArray[Any]:
                moved = small.transpose(0, *(axis + 1 for axis in order))
                return np.flip(moved, tuple(axis + 1 for axis in range(ndim) if flips[axis]))

            said = [f"{words[axis]} are reversed" for axis in range(ndim) if flips[axis]]
            if order != tuple(range(ndim)):
                said.insert(0, "axes are swapped")
            out.append((" and ".join(said) or "left as it is", turn))
    return out


def _likeness(thumbnails: NDArray[Any], means: NDArray[Any]) -> tuple[list[str], NDArray[Any]]:
    """Correlation of every turned thumbnail (turns, N) with the mean of the others."""
    turns = _turns(thumbnails.ndim - 1)
    rows = [np.einsum("np,np->n", unit(turn(thumbnails)), means) for _, turn in turns]
    return [name for name, _ in turns], np.stack(rows)


def _disagreeing(likeness: NDArray[Any], subjects: NDArray[Any], enough: NDArray[np.bool_]) -> dict[int, int]:
    """Index of each image that is turned, and which turn mends it."""
    found: dict[int, int] = {}
    alone = _better(likeness, FALLS_TO) & enough
    for index in np.flatnonzero(alone):
        found[int(index)] = int(likeness[:, index].argmax())
    for subject in np.unique(subjects[enough]):
        own = np.flatnonzero(enough & (subjects == subject))
        together = likeness[:, own].mean(axis=1, keepdims=True)
        if len(own) > 2 and _better(together, FALLS_TO_TOGETHER)[0]:
            found.update({int(index): int(together[:, 0].argmax()) for index in own})
    return found


def _better(likeness: NDArray[Any], falls_to: float) -> NDArray[np.bool_]:
    best, now = likeness.max(axis=0), likeness[0]
    return np.asarray((best > LIKENESS) & (best - now > GAIN) & (1 - best < falls_to * (1 - now)))


def _pairs(group: list[Seen], thumbnails: NDArray[Any]) -> Iterable[tuple[int, int]]:
    """Pairs of images of different subjects that are nearly one image."""
    subjects = np.unique([one.entry.subject for one in group], return_inverse=True)[1]
    if len(set(subjects.tolist())) < 2:
        return
    units = unit(thumbnails)
    means, others = means_of_others(units, subjects.tolist(), [_height(one) for one in group])
    # What all images of a population share says nothing about two of them being one.
    rest = units - np.where(
        others[:, None] >= FEWEST_OTHERS, means * (units * means).sum(1, keepdims=True), 0
    )
    rest = unit(rest)
    limit = np.where(others >= FEWEST_OTHERS, COPY, COPY_OF_FEW)
    for row in range(0, len(rest), _BLOCK):
        for column in range(row, len(rest), _BLOCK):
            a, b = slice(row, row + _BLOCK), slice(column, column + _BLOCK)
            high = rest[a] @ rest[b].T > np.maximum(limit[a, None], limit[None, b])
            high &= subjects[a, None] != subjects[None, b]
            for left, right in zip(*np.nonzero(high), strict=True):
                yield int(left) + row, int(right) + column
