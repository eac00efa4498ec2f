"""Geometry: sides that nobody can know, and cohorts of mixed modality, spacing, size or field of view."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlesion.doctor.examination import Measured, Seen, rows_with
from unlesion.doctor.finding import Finding
from unlesion.doctor.sight import Sight

# Spacings of one scanner differ by less (ratio of the largest to the smallest).
SAME_SPACING = 1.1
# Fields of view of adult heads, cropped in different ways, differ by less.
SAME_VIEW = 1.3
# So many of a subject's slices must agree that it is stripped, or is not: in a shrunken brain the cortex may
# look like a scalp in some.
CLEAR_VOTE = 0.75
# An affine that is turned by more degrees is called oblique.
OBLIQUE = 3.0


@dataclass(frozen=True)
class Geometry:
    """The grid of an image.

    Attributes:
        shape: rows, columns, slices.
        spacing: mm of each; None where the file does not say.
        flat: whether it is one slice.
        placed: whether the file has axes in the patient at all (pictures have not).
        guessed: whether its left and right were guessed, since the header is silent.
        conflict: degrees or mm by which qform and sform differ, 0 where they agree.
        axes: codes of the file's axes, such as "LAS"; "" where there are none.
        tilt: degrees from the nearest axes of the patient.
        stripped: whether it shows a brain alone; None where that was not asked.
        notes: what the reader had to assume.
        origin: where the first voxel lies in the world, in mm, rounded; None where that is unknown.
        given: mm that the manifest gives although the file says otherwise, or None.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float] | None
    flat: bool
    placed: bool
    guessed: bool
    conflict: float
    axes: str
    tilt: float
    stripped: bool | None
    notes: tuple[str, ...] = ()
    origin: tuple[int, ...] | None = None
    given: tuple[float, ...] | None = None

    @property
    def words(self) -> str:
        """For people: size, spacing, axes."""
        count = 2 if self.flat else 3
        size = " x ".join(map(str, self.shape[:count]))
        mm = (
            ""
            if self.spacing is None
            else ", " + " x ".join(f"{s:.3g}" for s in self.spacing[:count]) + " mm"
        )
        axes = f", stored as {self.axes}" if self.axes else ", axes in the patient unknown"
        oblique = f", oblique by {self.tilt:.0f} degrees" if self.tilt > OBLIQUE else ""
        stripped = {True: ", skull-stripped", False: ", with skull", None: ""}[self.stripped]
        return f"{size} {'pixels' if self.flat else 'voxels'}{mm}{axes}{oblique}{stripped}"


class Geometries(Measured):
    """Sides are known, and the scans of a modality have one geometry."""

    name = "geometry"

    def measure(self, sight: Sight) -> Geometry:
        grid = sight.grid
        header = grid.header
        placed = grid.family not in ("picture", "numpy")
        guessed, conflict, axes = False, 0.0, ""
        if hasattr(header, "get_best_affine"):
            guessed, conflict, axes = _nifti_facts(header)
        columns = grid.affine[:3, :3] / np.maximum(np.linalg.norm(grid.affine[:3, :3], axis=0), 1e-12)
        nearest = float(np.abs(columns).max(axis=0).min())
        return Geometry(
            shape=grid.shape,
            spacing=grid.spacing if grid.spacing_known else None,
            flat=grid.is_flat,
            placed=placed,
            guessed=guessed,
            conflict=conflict,
            axes=axes,
            tilt=float(np.degrees(np.arccos(min(1.0, nearest)))) if placed else 0.0,
            stripped=sight.stripped,
            notes=() if guessed else sight.warnings,
            origin=tuple(round(float(mm)) for mm in grid.affine[:3, 3]) if placed else None,
            given=_unlike(sight.entry.spacing_mm, grid.spacing),
        )

    def judge(self, seen: Sequence[Seen]) -> Iterable[Finding]:
        known = self.known(seen)
        if len(known) == 1 == len(seen):
            yield Finding(
                code="scan.geometry",
                level="note",
                where=(known[0][0].key,),
                what=known[0][1].words,
                mend="nothing",
                of=1,
            )
        yield from self._sides(known)
        yield from self._notes(known)
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

    def _sides(self, known: list[tuple[Seen, Geometry]]) -> Iterable[Finding]:
        of = len(known)
        guessed = tuple(one.key for one, g in known if g.guessed)
        if guessed:
            yield Finding(
                code="sides.guessed",
                level="warning",
                where=guessed,
                what="the header says nothing about orientation, so left and right are a guess",
                mend="convert from the original again (dcm2niix), or set qform or sform from what you know",
                of=of,
            )
        conflict = tuple(one.key for one, g in known if g.conflict > 0)
        if conflict:
            yield Finding(
                code="sides.conflict",
                level="warning",
                where=conflict,
                what="qform and sform of the header disagree; the sform was used",
                mend="find out which is right, and write it into both",
                of=of,
            )
        unplaced = tuple(one.key for one, g in known if not g.placed)
        if unplaced:
            yield Finding(
                code="sides.unknown",
                level="note",
                where=unplaced,
                what="pictures do not say which side is left",
                mend="make sure that all were exported alike; a mirrored picture cannot be told",
                of=of,
            )
        unsized = tuple(one.key for one, g in known if g.spacing is None)
        if unsized:
            yield Finding(
                code="spacing.unknown",
                level="note",
                where=unsized,
                what="the size of a pixel is unknown, so there are no volumes in ml",
                mend="write it into the column spacing_mm, where known",
                of=of,
            )
        tilted = tuple(one.key for one, g in known if g.tilt > OBLIQUE)
        if tilted:
            yield Finding(
                code="geometry.oblique",
                level="note",
                where=tilted,
                what=f"slices are oblique by up to {max(g.tilt for _, g in known):.0f} degrees",
                mend="nothing: the geometry is kept; alignment in the recipe turns them for the network",
                of=of,
            )

    def _notes(self, known: list[tuple[Seen, Geometry]]) -> Iterable[Finding]:
        said: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for one, geometry in known:
            for note in geometry.notes:
                # Notes that differ in a number alone are one.
                said[re.sub(r"\d+(\.\d+)?", "#", note)][one.key] = note
        for notes in said.values():
            yield Finding(
                code="reader.note",
                level="warning",
                where=tuple(notes),
                what=next(iter(notes.values())),
                mend="check that this is meant",
                of=len(known),
            )
        unlike = [(one.key, g) for one, g in known if g.given is not None]
        if unlike:
            first = unlike[0][1]
            yield Finding(
                code="spacing.disagrees",
                level="warning",
                where=tuple(key for key, _ in unlike),
                what="spacing_mm of the manifest is not what the file says; the file is followed",
                detail=f"{first.given} but the file has {first.spacing}",
                mend="correct the manifest, or the header of the file",
                of=len(known),
            )

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
            mend="choose one with --where modality=…, or join those of one scan with --channels",
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


def _unlike(given: tuple[float, ...] | None, spacing: tuple[float, float, float]) -> tuple[float, ...] | None:
    """What the manifest gives, if it differs by more than 1 % from what is used."""
    if given is None:
        return None
    # One number is for all axes, but flat scans have no third one to speak of.
    wanted = given * 2 if len(given) == 1 else given
    return None if np.allclose(spacing[: len(wanted)], wanted, rtol=0.01) else given


def _nifti_facts(header: Any) -> tuple[bool, float, str]:
    """Whether orientation is a guess; how far qform and sform lie apart in mm, 0 if within 1; the axes."""
    from nibabel import aff2axcodes  # type: ignore[attr-defined, unused-ignore]

    qform, sform = int(header["qform_code"]), int(header["sform_code"])
    axes = "".join(str(code) for code in aff2axcodes(header.get_best_affine()))
    apart = 0.0
    # Two forms may lead to different spaces (scanner, atlas): only those of one space can disagree.
    if qform > 0 and qform == sform:
        corner = np.asarray([*(size - 1 for size in (*header.get_data_shape(), 1, 1, 1)[:3]), 1.0])
        try:
            moved = (header.get_qform() - header.get_sform()) @ np.stack([corner, [0, 0, 0, 1]], axis=1)
            apart = float(np.linalg.norm(moved[:3], axis=0).max())
        except Exception:  # quaternions that are none: nothing to compare
            apart = 0.0
    return qform == 0 and sform == 0, apart if apart > 1.0 else 0.0, axes
