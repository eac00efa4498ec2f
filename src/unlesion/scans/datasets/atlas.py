"""ATLAS v2.0: T1 of people some time after a stroke, in MNI space, with lesions traced by hand.

Checked against public code that reads it, and a public description of its tree. The part `Testing` comes without masks;
its people have had a stroke all the same. The spreadsheet with age and chronicity is not read.
"""

from __future__ import annotations

from unlesion.scans.datasets.layout import Layout, Version

_SCAN = (
    r"(?:(?P<part>Training|Testing)/.*)?"
    r"(?P<subject>sub-(?P<site>r\d{3})s\d{3})_ses-(?P<session>\d+)_space-MNI152NLin2009aSym_"
)

ATLAS2 = Layout(
    name="atlas2",
    title="ATLAS v2.0",
    citation="Liew et al., Scientific Data 9 (2022), 10.1038/s41597-022-01401-7.",
    licence="on application; terms of use of the providers",
    access="https://fcon_1000.projects.nitrc.org/indi/retro/atlas.html",
    expected="Training/R001/sub-r001s001/ses-1/anat/sub-r001s001_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz",
    versions=(Version(images=_SCAN + r"T1w\.nii\.gz", masks=_SCAN + r"label-L_desc-T1lesion_mask\.nii\.gz"),),
    scan="{subject}_ses-{session}",
    modality="T1",
    words={"part": {"Training": "training", "Testing": "testing"}},
    pathology="stroke",
)
