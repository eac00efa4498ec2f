from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tests.cohorts import write_pictures
from unlesion.errors import BadInput
from unlesion.prepare import choose_recipe
from unlesion.scans import Cohort, Entry


@pytest.fixture
def pictures(tmp_path: Path) -> Cohort:
    return Cohort.open(write_pictures(tmp_path / "pictures"))


def with_modality(cohort: Cohort, modality: str) -> Cohort:
    return replace(cohort, entries=tuple(replace(entry, modality=(modality,)) for entry in cohort))


def nifti(path: Path, shape: tuple[int, ...]) -> Entry:
    nib.save(
        nib.Nifti1Image(np.random.default_rng(0).uniform(0, 9, shape).astype(np.float32), np.eye(4)), path
    )
    return Entry(key=path.name.split(".")[0], paths=(path,), subject=path.name)


def test_pictures_of_brains(pictures: Cohort) -> None:
    assert choose_recipe(pictures).name == "slices"


@pytest.mark.parametrize("modality", ["CXR", "cxr", "DX"])
def test_chest_x_rays(pictures: Cohort, modality: str) -> None:
    assert choose_recipe(with_modality(pictures, modality)).name == "xray"


def test_volumes_and_flat_nifti(tmp_path: Path) -> None:
    deep = nifti(tmp_path / "deep.nii.gz", (20, 20, 20))
    flat = nifti(tmp_path / "flat.nii.gz", (20, 20))
    assert choose_recipe(Cohort(root=tmp_path, entries=(deep,), name="c")).name == "brain-mri"
    assert choose_recipe(Cohort(root=tmp_path, entries=(flat,), name="c")).name == "slices"
    with pytest.raises(BadInput, match="--where"):
        choose_recipe(Cohort(root=tmp_path, entries=(deep, flat), name="c"))


def test_mixtures_and_nothing(pictures: Cohort, tmp_path: Path) -> None:
    mixed = replace(pictures, entries=(*pictures.entries[:2], *with_modality(pictures, "CXR").entries[2:]))
    assert choose_recipe(mixed).name == "universal"
    deep = nifti(tmp_path / "deep.nii.gz", (20, 20, 20))
    with pytest.raises(BadInput, match=r"brain-mri, slices, xray.*--where"):
        choose_recipe(replace(mixed, entries=(*mixed.entries, deep)))
    with pytest.raises(BadInput, match=r"brain-mri, xray"):
        choose_recipe(replace(mixed, entries=(*mixed.entries[2:], deep)))
    with pytest.raises(BadInput, match="no scans"):
        choose_recipe(pictures.select(split="nowhere"))
    (tmp_path / "bad.nii.gz").write_bytes(b"no")
    bad = Entry(key="bad", paths=(tmp_path / "bad.nii.gz",), subject="bad")
    with pytest.raises(BadInput, match="can be read"):
        choose_recipe(Cohort(root=tmp_path, entries=(bad,), name="c"))
