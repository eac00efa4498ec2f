"""Which recipe suits a cohort, for those who name none."""

from __future__ import annotations

from unlesion.errors import BadInput, UnlesionError
from unlesion.prepare.load import load_recipe
from unlesion.prepare.recipe import Recipe
from unlesion.scans.cohort import Cohort
from unlesion.scans.entry import Entry

# Names by which manifests call a plain chest radiograph (DICOM: CR, DX, RG).
XRAY = frozenset({"CXR", "XRAY", "X-RAY", "CR", "DX", "RG"})
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})
# Files that may hold volumes or slices are opened to see, this many of them, spread over the cohort.
LOOKED_AT = 4


def choose_recipe(cohort: Cohort) -> Recipe:
    """The built-in recipe for what a cohort holds: "brain-mri", "slices", "xray" or "universal".

    Volumes get "brain-mri", pictures whose modality is an X-ray "xray", other pictures "slices", and pictures
    of both kinds "universal".

    Raises:
        BadInput: the cohort is empty, or mixes volumes with pictures.
    """
    if len(cohort) == 0:
        raise BadInput(f"{cohort.name}: no scans; check --where")
    known = {entry.key: _by_name(entry) for entry in cohort}
    unknown = [entry for entry in cohort if not known[entry.key]]
    step = max(1, len(unknown) // LOOKED_AT)
    looked = {_by_looking(entry) for entry in unknown[::step][: LOOKED_AT + 1]}
    kinds = sorted(({kind for kind in known.values() if kind} | looked) - {""})
    if not kinds:
        raise BadInput(f"{cohort.name}: none of the scans that were tried can be read; check the files")
    if kinds == ["slices", "xray"]:
        return load_recipe("universal")
    if len(kinds) > 1:
        raise BadInput(
            f"{cohort.name}: holds scans for different recipes ({', '.join(kinds)}); choose one kind with "
            "--where (such as --where modality=T1), or name a --recipe"
        )
    return load_recipe(kinds[0])


def _by_name(entry: Entry) -> str:
    """The recipe as far as names tell; "" where the file must be opened."""
    if any(modality.upper() in XRAY for modality in entry.modality):
        return "xray"
    return "slices" if entry.paths[0].suffix.lower() in PICTURES else ""


def _by_looking(entry: Entry) -> str:
    try:
        scan = entry.read()
    except UnlesionError:
        return ""
    return "slices" if scan.grid.is_flat else "brain-mri"
