"""IXI: healthy adults on three scanners in London, in T1, T2, PD and MRA.

Checked against names of files in public code (`IXI-T1/IXI002-Guys-0828-T1.nii.gz`), and the columns of `IXI.xls` that
public code reads. Diffusion images are left out. A spreadsheet is not read: age and sex are known where it was
saved as CSV, under the name `IXI.csv`.
"""

from __future__ import annotations

from unlesion.scans.datasets.layout import Layout, Version
from unlesion.scans.datasets.people import PeopleTable, as_it_is


def _subject(number: str) -> str:
    """`IXI002` of 2, which a spreadsheet may have made 2.0."""
    digits = number.partition(".")[0]
    return f"IXI{int(digits):03d}" if digits.isdigit() else number


def _sex(code: str) -> str:
    return {"1": "M", "2": "F"}.get(code.partition(".")[0], "")


IXI = Layout(
    name="ixi",
    title="IXI",
    citation="IXI dataset, Biomedical Image Analysis Group, Imperial College London (EPSRC GR/S21533/02).",
    licence="CC BY-SA 3.0",
    access="https://brain-development.org/ixi-dataset/",
    expected="IXI-T1/IXI002-Guys-0828-T1.nii.gz",
    versions=(
        Version(
            images=r"(?P<subject>IXI\d+)-(?P<site>Guys|HH|IOP)-(?P<number>\d+)-(?P<modality>T1|T2|PD|MRA)\.nii(?:\.gz)?"
        ),
    ),
    scan="{subject}-{site}-{number}",
    label="healthy",
    people=(
        PeopleTable(
            file=r"IXI\.csv",
            subject="IXI_ID",
            read_subject=_subject,
            columns={"SEX_ID (1=m, 2=f)": ("sex", _sex), "AGE": ("age", as_it_is)},
        ),
    ),
)
