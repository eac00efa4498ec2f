"""ISLES 2022: acute and subacute stroke in DWI, ADC and FLAIR from three centres.

Checked against public code that reads the release on Zenodo, with folders `anat` and `dwi`, and against the challenge's
own description of an earlier one, without them. The masks lie on the grid of DWI and ADC; FLAIR has its own, and so no
mask. Masks may be empty: such a scan is healthy here.
"""

from __future__ import annotations

from unlesion.scans.datasets.layout import Layout, Version

_SCAN = r"(?P<subject>sub-strokecase\d{4})_ses-(?P<session>\d{4})_"

ISLES2022 = Layout(
    name="isles2022",
    title="ISLES 2022",
    citation="Hernandez Petzsche et al., Scientific Data 9 (2022), 10.1038/s41597-022-01875-5.",
    licence="CC BY 4.0",
    access="https://doi.org/10.5281/zenodo.7153326",
    expected="sub-strokecase0001/ses-0001/dwi/sub-strokecase0001_ses-0001_dwi.nii.gz",
    versions=(
        Version(images=_SCAN + r"(?P<modality>dwi|adc|flair|FLAIR)\.nii\.gz", masks=_SCAN + r"msk\.nii\.gz"),
    ),
    scan="{subject}_ses-{session}",
    words={"modality": {"dwi": "DWI", "adc": "ADC", "flair": "FLAIR"}},
    pathology="stroke",
    empty_is_healthy=True,
    mask_fits=("DWI", "ADC"),
)
