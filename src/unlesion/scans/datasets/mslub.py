"""MSLUB: multiple sclerosis with lesions agreed on by several raters, in T1, T1 with contrast agent, T2 and FLAIR.

Checked against the providers' description of their folders, and against the listing and README of the repository
open_ms_data, which hands the cross-sectional part out under other names and adds scans in MNI space. Raw scans are left
out: their modalities lie on different grids. So is the longitudinal part, whose masks mark changes.
"""

from __future__ import annotations

from unlesion.scans.datasets.layout import Layout, Version

_PATIENT = r"(?<!raw/)(?P<subject>patient\d{2})/(?:(?P=subject)_)?"
_MNI = r"(?P<subject>patient\d{2})/"

MSLUB = Layout(
    name="mslub",
    title="MSLUB (cross-sectional)",
    citation="Lesjak et al., Neuroinformatics 16 (2018), 10.1007/s12021-017-9348-7.",
    licence="CC BY",
    access="https://lit.fe.uni-lj.si/tools, https://github.com/muschellij2/open_ms_data",
    expected="patient01/patient01_FLAIR.nii.gz or coregistered/patient01/FLAIR.nii.gz",
    versions=(
        Version(
            name="coregistered",
            images=_PATIENT + r"(?P<modality>FLAIR|T1W|T1WKS|T2W)\.nii\.gz",
            masks=_PATIENT + r"consensus_gt\.nii\.gz",
            rois=_PATIENT + r"brainmask\.nii\.gz",
        ),
        Version(
            name="MNI",
            images=_MNI
            + r"(?P<modality>FLAIR|T1|T1POST|T2)_N4_noneck_reduced_winsor_regtoFLAIR_brain_N4_regtoMNI\.nii\.gz",
            masks=_MNI + r"GOLD_STANDARD_N4_noneck_reduced_winsor_regtoFLAIR_regtoMNI\.nii\.gz",
        ),
    ),
    words={"modality": {"T1W": "T1", "T1WKS": "T1CE", "T1POST": "T1CE", "T2W": "T2"}},
    pathology="multiple sclerosis",
)
