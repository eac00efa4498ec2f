"""Geometry: what a grid is, sides that nobody can know, and what a reader had to assume."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unlesion.doctor.examination import Measured, Seen
from unlesion.doctor.finding import Finding
from unlesion.doctor.sight import Sight

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
    """Sides are known, and what readers had to assume is said."""

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
