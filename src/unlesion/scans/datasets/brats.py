"""BraTS: gliomas before treatment in T1, T1 with contrast agent, T2 and FLAIR; skull-stripped, on one atlas grid.

Checked against descriptions of the folders in public code: names of files of the three years, `name_mapping.csv` and
`survival_info.csv` of 2020, and the one mask of 2020 that has a name of its own (patient 355). Every label above 0 is
tumour (necrosis, oedema, enhancing). Validation sets come without masks; their patients have gliomas all the same.
"""

from __future__ import annotations

from unlesion.scans.datasets.layout import Layout, Version
from unlesion.scans.datasets.people import PeopleTable, as_it_is

_MODALITIES = {"flair": "FLAIR", "t1": "T1", "t1ce": "T1CE", "t2": "T2"}

BRATS2020 = Layout(
    name="brats2020",
    title="BraTS 2020",
    citation="Menze et al., IEEE TMI 34 (2015), 10.1109/TMI.2014.2377694; Bakas et al., Scientific Data 4 (2017), "
    "10.1038/sdata.2017.117.",
    licence="on registration; terms of the challenge",
    access="https://www.med.upenn.edu/cbica/brats2020/data.html",
    expected="BraTS20_Training_001/BraTS20_Training_001_flair.nii",
    versions=(
        Version(
            images=r"(?P<subject>BraTS20_(?P<part>Training|Validation)_\d{3})_(?P<modality>flair|t1|t1ce|t2)\.nii(?:\.gz)?",
            masks=r"(?P<subject>BraTS20_Training_\d{3})(?:_seg|/W39_1998\.09\.19_Segm)\.nii(?:\.gz)?",
        ),
    ),
    words={"modality": _MODALITIES, "part": {"Training": "training", "Validation": "validation"}},
    pathology="glioma",
    people=(
        PeopleTable(
            file=r"name_mapping\.csv", subject="BraTS_2020_subject_ID", columns={"Grade": ("grade", as_it_is)}
        ),
        PeopleTable(file=r"survival_info\.csv", subject="Brats20ID", columns={"Age": ("age", as_it_is)}),
    ),
)

BRATS2021 = Layout(
    name="brats2021",
    title="BraTS 2021",
    citation="Baid et al., arXiv:2107.02314 (2021); Menze et al., IEEE TMI 34 (2015), 10.1109/TMI.2014.2377694.",
    licence="on registration; terms of the challenge",
    access="https://www.synapse.org/brats",
    expected="BraTS2021_00000/BraTS2021_00000_flair.nii.gz",
    versions=(
        Version(
            images=r"(?P<subject>BraTS2021_\d{5})_(?P<modality>flair|t1|t1ce|t2)\.nii(?:\.gz)?",
            masks=r"(?P<subject>BraTS2021_\d{5})_seg\.nii(?:\.gz)?",
        ),
    ),
    words={"modality": _MODALITIES},
    pathology="glioma",
)

BRATS2023 = Layout(
    name="brats2023",
    title="BraTS 2023, adult glioma",
    citation="Baid et al., arXiv:2107.02314 (2021); Menze et al., IEEE TMI 34 (2015), 10.1109/TMI.2014.2377694.",
    licence="on registration; terms of the challenge",
    access="https://www.synapse.org/brats",
    expected="BraTS-GLI-00000-000/BraTS-GLI-00000-000-t2f.nii.gz",
    versions=(
        Version(
            images=r"(?P<subject>BraTS-GLI-\d{5})-(?P<session>\d{3})-(?P<modality>t1n|t1c|t2w|t2f)\.nii(?:\.gz)?",
            masks=r"(?P<subject>BraTS-GLI-\d{5})-(?P<session>\d{3})-seg\.nii(?:\.gz)?",
        ),
    ),
    scan="{subject}-{session}",
    words={"modality": {"t1n": "T1", "t1c": "T1CE", "t2w": "T2", "t2f": "FLAIR"}},
    pathology="glioma",
)
