"""Mixtures: cohorts of several modalities, kinds, spacings, sizes or fields of view."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from unlesion.doctor.examination import Seen, rows_with
from unlesion.doctor.examinations.geometry import Geometries, Geometry
from unlesion.doctor.finding import Finding

# Spacings of one scanner differ by less (ratio of the largest to the smallest).
SAME_SPACING = 1.1
# Fields of view of adult heads, cropped in different ways, differ by less.
SAME_VIEW = 1.3
# So many of a subject's slices must agree that it is stripped, or is not: in a shrunken brain the cortex may
# look like a scalp in some.
CLEAR_VOTE = 0.75

# By kind: what differs, how to mend.
MIXTURES = {
    "spacing": ("voxels differ in size", "nothing, if the recipe resamples (the built-in ones do); "
                "a confound, where it goes with the label"),
    "sizes": ("pictures differ in size", "nothing, if the recipe resizes; "
              "a confound, where it goes with the label"),
    "views": ("fields of view differ", "nothing, if the recipe crops to the head; "
              "check that none is cut off"),
    "grids": ("volumes lie on grids of their own, so they are not registered to a common space",
              "let the recipe align them (brain-mri does)"),
    "axes": ("files store their axes in different orders", "nothing: the affine is followed"),
}  # fmt: skip


class Mixtures(Geometries):
    """The scans of a cohort are of one kind, and those of a modality have one geometry."""

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        known = self.known(seen)
        yield from self._modalities(seen)
        yield from self._stripping(known)
        flat = {g.flat for _, g in known}
        if len(flat) > 1:
            less = min(flat, key=lambda kind: sum(g.flat == kind for _, g in known))
            yield Finding(
                code="mixed.dimensions",
                level="warning",
                where=tuple(one.key for one, g in known if g.flat == less),
                what=f"{'single slices' if less else 'volumes'} among {'volumes' if less else 'single slices'}",
                mend="choose one kind with --where: a recipe is for volumes or for slices",
                of=len(known),
            )
        yield from self._mixed(known)

    def _modalities(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        unnamed = tuple(one.key for one in seen if not all(one.entry.modality))
        if 0 < len(unnamed) < len(seen):
            yield Finding(
                code="modality.unknown",
                level="note",
                where=unnamed,
                what="no modality is given, though others have one",
                mend="fill in the column modality",
                of=len(seen),
            )
        counts = Counter(one.group for one in seen if all(one.entry.modality))
        if len(counts) < 2:
            return
        trained = Counter(
            one.group for one in rows_with(seen, label="healthy") if one.entry.split in ("train", None)
        )
        shown = ", ".join(f"{count} {'+'.join(names)}" for names, count in counts.most_common(6))
        mixed = len([names for names in trained if all(names)]) > 1
        yield Finding(
            code="mixed.modalities",
            level="warning" if mixed else "note",
            where=(),
            what=f"several modalities: {shown}" + ("; training would learn them as one" if mixed else ""),
            mend="choose one with --where modality=…, join those of one scan with --channels, or let the method know "
            "the modality (--set method.condition=true)",
            value=float(len(counts)),
        )

    def _stripping(self, known: list[tuple[Seen, Geometry]]) -> Iterable[Finding]:
        # A subject is judged as a whole: a single slice at the top of a head may be taken for either.
        votes: defaultdict[tuple[tuple[str, ...], str], list[tuple[str, bool]]] = defaultdict(list)
        for one, geometry in known:
            if geometry.stripped is not None:
                votes[one.group, one.entry.subject].append((one.key, geometry.stripped))
        groups: defaultdict[tuple[str, ...], dict[bool, list[str]]] = defaultdict(
            lambda: {True: [], False: []}
        )
        for (modality, _), own in votes.items():
            share = sum(is_so for _, is_so in own) / len(own)
            if share >= CLEAR_VOTE or share <= 1 - CLEAR_VOTE:
                groups[modality][share >= CLEAR_VOTE] += [key for key, _ in own]
        for modality, kinds in groups.items():
            if not (kinds[True] and kinds[False]):
                continue
            rarer = len(kinds[True]) <= len(kinds[False])
            name = ", ".join(filter(None, modality))
            words = "skull-stripped among heads" if rarer else "heads among skull-stripped brains"
            yield Finding(
                code="mixed.stripping",
                level="warning",
                where=tuple(kinds[rarer]),
                what=f"{name + ' ' if name else ''}{words}",
                mend="strip the skulls of all, or choose one kind with --where",
                of=len(kinds[True]) + len(kinds[False]),
            )

    def _mixed(self, known: list[tuple[Seen, Geometry]]) -> Iterable[Finding]:
        groups: defaultdict[tuple[tuple[str, ...], bool], list[tuple[Seen, Geometry]]] = defaultdict(list)
        for one, geometry in known:
            groups[one.group, geometry.flat].append((one, geometry))
        for (modality, flat), members in groups.items():
            name = "+".join(filter(None, modality)) or "all modalities"
            spaced = [(one, g) for one, g in members if g.spacing is not None]
            axes = 2 if flat else 3
            sizes = np.asarray([g.spacing[:axes] for _, g in spaced if g.spacing is not None])
            if len(sizes) and (sizes.max(0) / sizes.min(0)).max() > SAME_SPACING:
                yield _mixture(
                    "spacing", name, spaced, lambda g: tuple(round(s, 2) for s in g.spacing), " mm"
                )
            if flat:
                if len({g.shape for _, g in members}) > 1:
                    yield _mixture("sizes", name, members, lambda g: g.shape[:2], " pixels")
            elif len(sizes):
                views = sizes * np.asarray([g.shape for _, g in spaced])
                if (views.max(0) / views.min(0)).max() > SAME_VIEW:
                    yield _mixture(
                        "views",
                        name,
                        spaced,
                        lambda g: tuple(round(n * s) for n, s in zip(g.shape, g.spacing, strict=True)),
                        " mm",
                    )
            if not flat:
                placed = [(one, g) for one, g in members if g.origin is not None]
                if len({(g.origin, g.shape) for _, g in placed}) > 1:
                    yield _mixture("grids", name, placed, _place, "")
            stored = Counter(g.axes for _, g in members if g.axes)
            if len(stored) > 1:
                yield _mixture("axes", name, [(o, g) for o, g in members if g.axes], lambda g: (g.axes,), "")


def _mixture(
    kind: str,
    name: str,
    members: list[tuple[Seen, Geometry]],
    of: Callable[[Any], tuple[Hashable, ...]],
    unit: str,
) -> Finding:
    """The finding that a modality holds several values of something; where: the scans without the commonest."""
    values = [of(geometry) for _, geometry in members]
    counts = Counter(values)
    common = counts.most_common(3)
    shown = ", ".join(f"{' x '.join(map(str, value))}{unit} ({count})" for value, count in common)
    what, mend = MIXTURES[kind]
    return Finding(
        code=f"mixed.{kind}",
        level="note",
        where=tuple(
            one.key for (one, _), value in zip(members, values, strict=True) if value != common[0][0]
        ),
        what=f"{name}: {what}, {len(counts)} kinds: {shown}{', …' if len(counts) > 3 else ''}",
        mend=mend,
        of=len(members),
        value=float(len(counts)),
    )


def _place(geometry: Geometry) -> tuple[str]:
    """Size and first corner of a volume, in words."""
    corner = ", ".join(map(str, geometry.origin or ()))
    return (f"{' x '.join(map(str, geometry.shape))} voxels from ({corner}) mm",)
