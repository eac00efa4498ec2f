"""Small trees of files laid out as public datasets are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nibabel
import numpy as np

# Rows and columns; readers refuse fewer than 16.
SIDE, SLICES = 24, 6


@dataclass(frozen=True, kw_only=True)
class Tree:
    """What lies there, and what must be read of it.

    Attributes:
        images: paths of images.
        masks: values that are drawn into masks, by path; none: it is empty.
        rois: paths of brain masks.
        others: paths of files that are no images of the cohort.
        subjects: who is found.
        modalities: what is found.
        channels: modalities that can be joined.
        masked: how many images have a mask.
        label: of all images.
    """

    images: tuple[str, ...]
    masks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    rois: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    subjects: tuple[str, ...]
    modalities: tuple[str, ...]
    channels: tuple[str, ...]
    masked: int = 0
    label: str = "anomalous"


def _brats(
    subject: str, sequences: tuple[str, ...], *, between: str = "_", ending: str = ".nii.gz"
) -> list[str]:
    return [f"data/{subject}/{subject}{between}{name}{ending}" for name in sequences]


_OLD, _NEW = ("flair", "t1", "t1ce", "t2"), ("t1n", "t1c", "t2w", "t2f")
_MNI = "_N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI.nii.gz"
_GOLD = "GOLD_STANDARD_N4_noneck_reduced_winsor_regtoFLAIR_regtoMNI.nii.gz"
_ATLAS = "ATLAS_2/{part}/R001/sub-r001s{number}/ses-1/anat/sub-r001s{number}_ses-1_space-MNI152NLin2009aSym_"
_STROKE = "ISLES-2022/{place}sub-strokecase{number}/ses-0001/{folder}sub-strokecase{number}_ses-0001_"


def _stroke(number: str, kind: str, folder: str = "", place: str = "") -> str:
    return _STROKE.format(place=place, number=number, folder=folder) + f"{kind}.nii.gz"


TREES = {
    "ixi": Tree(
        images=(
            "IXI-T1/IXI002-Guys-0828-T1.nii.gz",
            "IXI-T1/IXI012-HH-1211-T1.nii.gz",
            "IXI-T2/IXI002-Guys-0828-T2.nii.gz",
            "IXI-T2/IXI012-HH-1211-T2.nii.gz",
            "IXI-PD/IXI035-IOP-0873-PD.nii.gz",
        ),
        others=("IXI-DTI/IXI002-Guys-0828-DTI-00.nii.gz", "IXI.xls", "bvals.txt"),
        subjects=("IXI002", "IXI012", "IXI035"),
        modalities=("T1", "T2", "PD"),
        channels=("T1", "T2"),
        label="healthy",
    ),
    "brats2020": Tree(
        images=(
            *_brats("BraTS20_Training_001", _OLD, ending=".nii"),
            *_brats("BraTS20_Training_355", _OLD, ending=".nii"),
            *_brats("BraTS20_Validation_001", _OLD, ending=".nii"),
        ),
        masks={
            "data/BraTS20_Training_001/BraTS20_Training_001_seg.nii": (1, 2, 4),
            "data/BraTS20_Training_355/W39_1998.09.19_Segm.nii": (2,),
        },
        subjects=("BraTS20_Training_001", "BraTS20_Training_355", "BraTS20_Validation_001"),
        modalities=("FLAIR", "T1", "T1CE", "T2"),
        channels=("T1", "T1CE", "T2", "FLAIR"),
        masked=8,
    ),
    "brats2021": Tree(
        images=(*_brats("BraTS2021_00000", _OLD), *_brats("BraTS2021_00002", _OLD)),
        masks={
            "data/BraTS2021_00000/BraTS2021_00000_seg.nii.gz": (1, 2, 4),
            "data/BraTS2021_00002/BraTS2021_00002_seg.nii.gz": (2,),
        },
        others=("data/BraTS2021_00002/notes_flair.txt",),
        subjects=("BraTS2021_00000", "BraTS2021_00002"),
        modalities=("FLAIR", "T1", "T1CE", "T2"),
        channels=("FLAIR", "T1"),
        masked=8,
    ),
    "brats2023": Tree(
        images=(
            *_brats("BraTS-GLI-00000-000", _NEW, between="-"),
            *_brats("BraTS-GLI-00005-000", _NEW, between="-"),
            *_brats("BraTS-GLI-00005-001", _NEW, between="-"),
        ),
        masks={
            f"data/{name}/{name}-seg.nii.gz": (1, 2, 3)
            for name in ("BraTS-GLI-00000-000", "BraTS-GLI-00005-000", "BraTS-GLI-00005-001")
        },
        subjects=("BraTS-GLI-00000", "BraTS-GLI-00005"),
        modalities=("T1", "T1CE", "T2", "FLAIR"),
        channels=("T2", "FLAIR"),
        masked=12,
    ),
    "mslub": Tree(
        images=tuple(
            f"patient0{number}/patient0{number}_{name}.nii.gz"
            for number in (1, 2)
            for name in ("FLAIR", "T1W", "T1WKS", "T2W")
        ),
        masks={f"patient0{number}/patient0{number}_consensus_gt.nii.gz": (1,) for number in (1, 2)},
        rois=tuple(f"patient0{number}/patient0{number}_brainmask.nii.gz" for number in (1, 2)),
        others=("patient01/raw/patient01_FLAIR.nii.gz", "patient01/patient01_T1W_to_FLAIR.txt"),
        subjects=("patient01", "patient02"),
        modalities=("FLAIR", "T1", "T1CE", "T2"),
        channels=("FLAIR", "T1", "T2"),
        masked=8,
    ),
    "atlas2": Tree(
        images=(
            _ATLAS.format(part="Training", number="001") + "T1w.nii.gz",
            _ATLAS.format(part="Training", number="002") + "T1w.nii.gz",
            _ATLAS.format(part="Testing", number="003") + "T1w.nii.gz",
        ),
        masks={
            _ATLAS.format(part="Training", number=number) + "label-L_desc-T1lesion_mask.nii.gz": (1,)
            for number in ("001", "002")
        },
        others=("ATLAS_2/MNI152NLin2009aSym.nii.gz", "ATLAS_2/Training/R001/dataset_description.json"),
        subjects=("sub-r001s001", "sub-r001s002", "sub-r001s003"),
        modalities=("T1",),
        channels=("T1",),
        masked=2,
    ),
    "wmh2017": Tree(
        images=(
            "training/Utrecht/0/pre/FLAIR.nii.gz",
            "training/Utrecht/0/pre/T1.nii.gz",
            "training/Amsterdam/GE3T/100/pre/FLAIR.nii.gz",
            "training/Amsterdam/GE3T/100/pre/T1.nii.gz",
            "test/Amsterdam/Philips_VU .PETMR_01./161/pre/FLAIR.nii.gz",
            "test/Amsterdam/Philips_VU .PETMR_01./161/pre/T1.nii.gz",
        ),
        masks={
            "training/Utrecht/0/wmh.nii.gz": (1, 2),
            "training/Amsterdam/GE3T/100/wmh.nii.gz": (1,),
            "test/Amsterdam/Philips_VU .PETMR_01./161/wmh.nii.gz": (1,),
        },
        others=(
            "training/Utrecht/0/orig/FLAIR.nii.gz",
            "training/Utrecht/0/pre/3DT1.nii.gz",
            "additional_annotations/observer_o3/training/Utrecht/0/result.nii.gz",
        ),
        subjects=(
            "training/Utrecht/0",
            "training/Amsterdam/GE3T/100",
            "test/Amsterdam/Philips_VU .PETMR_01./161",
        ),
        modalities=("FLAIR", "T1"),
        channels=("FLAIR", "T1"),
        masked=6,
    ),
    "isles2022": Tree(
        images=(
            _stroke("0001", "dwi", "dwi/"),
            _stroke("0001", "adc", "dwi/"),
            _stroke("0001", "FLAIR", "anat/"),
            # As an earlier release had it.
            _stroke("0002", "dwi", place="rawdata/"),
            _stroke("0002", "adc", place="rawdata/"),
            _stroke("0002", "flair", place="rawdata/"),
        ),
        masks={
            _stroke("0001", "msk", place="derivatives/"): (1,),
            _stroke("0002", "msk", place="derivatives/"): (1,),
        },
        others=("ISLES-2022/sub-strokecase0001/ses-0001/dwi/sub-strokecase0001_ses-0001_dwi.json",),
        subjects=("sub-strokecase0001", "sub-strokecase0002"),
        modalities=("DWI", "ADC", "FLAIR"),
        channels=("DWI", "ADC"),
        masked=4,
    ),
}


def plant(root: Path, tree: Tree) -> Path:
    """Write all files of a tree below a folder; the folder."""
    for number, path in enumerate(tree.images):
        save(root / path, head(number))
    for path, values in tree.masks.items():
        save(root / path, drawn(values))
    for path in tree.rois:
        save(root / path, (head(0) > 0).astype(np.uint8))
    for path in tree.others:
        if path.endswith(".nii.gz"):
            save(root / path, head(99))
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(b"{}")
    return root


def head(seed: int) -> np.ndarray:
    """A grey ball on black, (SIDE, SIDE, SLICES) float32."""
    places = np.linspace(-1, 1, SIDE)
    disc = places[:, None] ** 2 + places**2 < 0.8
    noise = np.random.default_rng(seed).normal(100, 10, (SIDE, SIDE, SLICES))
    return np.where(disc[..., None], noise, 0).astype(np.float32)


def drawn(values: tuple[int, ...]) -> np.ndarray:
    """A mask in which every value has 8 voxels."""
    mask = np.zeros((SIDE, SIDE, SLICES), np.uint8)
    for number, value in enumerate(values):
        mask[8 + 2 * number : 10 + 2 * number, 10:12, 2:4] = value
    return mask


def save(path: Path, voxels: np.ndarray) -> None:
    """Write NIfTI with voxels of 8 x 8 x 20 mm: as large as a head together."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([8.0, 8.0, 20.0, 1.0])), path)
