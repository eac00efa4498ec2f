"""WMH Segmentation Challenge: white matter hyperintensities in FLAIR and T1 from five scanners at three sites.

Checked against the challenge's page on its reference standard (1: hyperintensity; 2: other pathology, left out of the
challenge's evaluation) and against public code that reads the release of 2022. T1 and mask lie on the grid of FLAIR in
both `pre` (bias corrected) and `orig`. Numbers of patients are unique only within a part and a scanner.
"""

from __future__ import annotations

from unlesion.scans.datasets.layout import Layout, Version

# The first release called a site after its scanner.
_SITES = {"GE3T": "Amsterdam"}
_PATIENT = (
    r"(?P<subject>(?:(?P<part>training|test)/)?"
    r"(?P<site>Utrecht|Singapore|Amsterdam|GE3T)/(?:(?P<scanner>[^/]+)/)?\d+)/"
)

WMH2017 = Layout(
    name="wmh2017",
    title="WMH Segmentation Challenge",
    citation="Kuijf et al., IEEE TMI 38 (2019), 10.1109/TMI.2019.2905770.",
    licence="CC BY-NC 4.0",
    access="https://doi.org/10.34894/AECRSD",
    expected="training/Utrecht/0/pre/FLAIR.nii.gz",
    versions=tuple(
        Version(
            name=name,
            images=_PATIENT + name + r"/(?P<modality>FLAIR|T1)\.nii\.gz",
            masks=_PATIENT + r"wmh\.nii\.gz",
        )
        for name in ("pre", "orig")
    ),
    words={"site": _SITES},
    pathology="white matter hyperintensities",
    mask_values="1",
)
