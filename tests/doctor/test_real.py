"""The caveats that the description of the real images tells, as far as pixels and tables show them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doctor.conftest import Findings, findings_in

pytestmark = [pytest.mark.real, pytest.mark.slow]


def _of(data: Path, source: str, *more: str) -> Findings:
    return findings_in(data, where=(f"source={source}", *more))


def _no_false_alarm(found: Findings) -> bool:
    """Nothing that the sources are free of."""
    return not [
        code
        for code, finding in found.items()
        if finding.level == "error"
        or code.startswith(("orientation.", "duplicates.", "modality.", "identity.face"))
    ]


def test_shape_tells_the_sources_of_chest_x_rays_apart(real_data: Path) -> None:
    found = _of(real_data, "cxr_nih,cxr_covid", "split=test", "pathology=none,COVID-19")
    shape = found["confound.not-square"]
    assert shape.value == pytest.approx(0.92, abs=0.005)
    assert shape.interval is not None and shape.interval[0] > 0.85
    assert found["confound.number-of-pixels"].value == pytest.approx(0.08, abs=0.005)
    assert found["confound.source"].value == 1.0
    assert len(found["mixed.sizes"].where) > 40
    assert _no_false_alarm(found)


def test_gliomas_healthy_slices_are_of_the_sick(real_data: Path) -> None:
    found = _of(real_data, "lgg_flair", "split=val,test")
    sick = found["subjects.healthy-of-sick"]
    assert len(sick.where) == sick.of == 30
    assert found["slices.healthy-beside-lesions"].value == 1.0
    assert "slices.scaled-one-by-one" not in found
    assert "pixels.jpeg" not in found
    assert found["slices.many-a-subject"].level == "note"
    assert _no_false_alarm(found)


def test_slices_of_the_elderly(real_data: Path) -> None:
    found = _of(real_data, "oasis_t1_2d", "split=val")
    assert len(found["slices.scaled-one-by-one"].where) == 8
    assert len(found["pixels.jpeg"].where) == 256
    assert found["slices.many-a-subject"].value == 32
    assert found["subjects.few-to-calibrate"].value == pytest.approx(1 / 9)
    assert "mixed.stripping" not in found
    assert _no_false_alarm(found)


def test_multiple_sclerosis_is_few_patients_and_rings_at_the_edge(real_data: Path) -> None:
    found = _of(real_data, "mslub", "modality=FLAIR")
    assert len(found["voxels.negative-at-edge"].where) == 2
    assert found["subjects.few-anomalous-to-test"].value == 1
    assert "subjects.none-to-train" in found
    assert not [code for code in found if code.startswith("mask.")]
    assert _no_false_alarm(found)


def test_small_sets_of_several_sequences(real_data: Path) -> None:
    found = _of(real_data, "brats_mini")
    assert "1, 2, 4" in found["mask.not-binary"].what
    assert found["mixed.modalities"].value == 4
    assert found["subjects.few-anomalous-to-test"].value == 2
    assert _no_false_alarm(found)


def test_volumes_are_neither_registered_nor_on_one_scale(real_data: Path) -> None:
    found = _of(real_data, "malf_t1", "split=train")
    assert found["voxels.scales-differ"].value > 1.5
    assert len(found["mixed.grids"].where) == found["mixed.grids"].of - 1 == 13
    assert "subjects.none-to-calibrate" in found
    assert "slices.many-a-subject" not in found
    assert _no_false_alarm(found)


def test_headers_of_the_series_name_somebody_and_its_face_is_gone(real_data: Path) -> None:
    from unlesion.doctor.examinations.identity import telling_fields

    fields = telling_fields(real_data / "dicom_t1" / "series")
    assert {"DICOM PatientName", "DICOM PatientBirthDate"} <= set(fields)
    found = _of(real_data, "dicom_t1")
    assert "identity.face" not in found
    assert "identity.header" in found
    assert "geometry.oblique" in found
