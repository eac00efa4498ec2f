from __future__ import annotations

from pathlib import Path

import pytest

from tests.doctor.conftest import Planted, findings_in

# What is so of every picture.
ALWAYS = {"sides.unknown", "spacing.unknown"}


def test_clean_pictures_give_no_finding(cohort: Planted) -> None:
    assert set(cohort.examine()) == ALWAYS
    assert all(finding.level == "note" for finding in cohort.examine().values())


@pytest.mark.slow
def test_a_clean_virtual_cohort_gives_no_finding(tmp_path: Path) -> None:
    from unlesion.phantom import write_cohort

    found = findings_in(write_cohort(8, tmp_path, spacing_mm=4.0, modality="FLAIR"))
    # Eight subjects are few, lie where their scanner put them, and on its scale: true, and no fault.
    true = {code for code in found if code.startswith(("subjects.few", "subjects.none"))}
    assert set(found) - true <= {"mixed.grids", "voxels.scales-differ"}
    assert all(found[code].level == "note" for code in set(found) - true)
