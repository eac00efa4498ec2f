from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.doctor.conftest import Planted, draw, plant
from unlesion.errors import BadInput
from unlesion.scans import Cohort, manifest


def test_a_subject_in_two_splits_is_a_finding_and_not_the_end(cohort: Planted) -> None:
    cohort.of("test")[0]["subject"] = "s00"
    with pytest.raises(BadInput, match="two splits"):
        Cohort.open(cohort.write())
    found = cohort.examine()
    assert found["subjects.in-two-splits"].where == ("s00",)
    assert found["subjects.in-two-splits"].level == "error"
    assert found["subjects.in-two-splits"].detail == "test and train"
    # The rest was looked at all the same.
    assert len(found["sides.unknown"].where) == len(cohort.rows)


def test_rows_that_cannot_be_used_are_named(cohort: Planted) -> None:
    cohort.rows[3]["label"] = "sick"
    cohort.rows[7]["path"] = "../out.png"
    cohort.rows.append(dict(cohort.rows[1]))
    found = cohort.examine()
    assert found["table.row"].where == ("row 5", "row 9")
    assert "sick" in found["table.row"].detail
    assert found["table.listed-twice"].where == ("s01",)
    assert found["sides.unknown"].of == len(cohort.rows) - 3


def test_channels_that_cannot_be_joined(cohort: Planted) -> None:
    first = cohort.rows[0]
    cohort.add("t2.png", draw(50)[0], subject=first["subject"], scan="a", modality="T2", split="val")
    first["scan"] = "a"
    from unlesion.doctor import examine_cohort

    codes = {finding.code for finding in examine_cohort(cohort.write(), channels=("T1", "T2")).findings}
    assert {"table.refused", "subjects.in-two-splits"} <= codes


def test_nothing_that_can_be_opened_is_refused(tmp_path: Path) -> None:
    from unlesion.doctor import examine_cohort

    (tmp_path / "manifest.csv").write_text("file\nx.png\n", encoding="utf-8")
    with pytest.raises(BadInput, match="no column 'path'"):
        examine_cohort(tmp_path)
    with pytest.raises(BadInput, match="no such file"):
        examine_cohort(tmp_path / "nowhere")


@pytest.mark.parametrize(("subjects", "level"), [(3, "warning"), (8, "note"), (19, None)])
def test_what_few_subjects_can_calibrate(tmp_path: Path, subjects: int, level: str | None) -> None:
    found = plant(tmp_path, val=subjects).examine()
    if level is None:
        assert "subjects.few-to-calibrate" not in found
        return
    assert found["subjects.few-to-calibrate"].level == level
    assert found["subjects.few-to-calibrate"].value == pytest.approx(1 / (subjects + 1))
    assert f"1/{subjects + 1}" in found["subjects.few-to-calibrate"].what


def test_what_an_automatic_split_leaves_to_calibrate(tmp_path: Path) -> None:
    few = plant(tmp_path, train=12, val=0, healthy=0, anomalous=0)
    for row in few.rows:
        row["split"] = ""
    cohort = Cohort.open(few.write()).with_splits()
    many = len(cohort.select(split="val").subjects)
    found = few.examine()["subjects.few-to-calibrate"]
    assert found.value == pytest.approx(1 / (many + 1))
    assert f"{many} of 12 healthy subjects" in found.what and "calibrate" in found.mend


def test_too_few_subjects_elsewhere(tmp_path: Path) -> None:
    found = plant(tmp_path, train=1, val=0, healthy=2, anomalous=4).examine()
    assert found["subjects.one-to-train"].level == "warning"
    assert found["subjects.none-to-calibrate"].value == 0
    assert found["subjects.few-healthy-to-test"].value == 2
    assert found["subjects.few-anomalous-to-test"].value == 4


def test_a_source_with_few_subjects(cohort: Planted) -> None:
    for index, row in enumerate(cohort.rows):
        row["source"] = "small" if index in (0, 30, len(cohort.rows) - 1) else "large"
    found = cohort.examine()
    assert found["subjects.few-in-source"].where == ("small",)
    assert "1 healthy subject and 1 anomalous subject" in found["subjects.few-in-source"].detail
    assert "subjects.few-anomalous-to-test" not in found


def test_nothing_to_train_on(tmp_path: Path) -> None:
    assert plant(tmp_path, train=0).examine()["subjects.none-to-train"].level == "warning"


def test_healthy_slices_of_the_sick(tmp_path: Path) -> None:
    cohort = Planted(tmp_path)
    for number in range(24):
        subject, part = f"p{number // 4}", number % 4
        label = "anomalous" if part in (1, 2) else "healthy"
        cohort.add(
            f"{number:02d}.png",
            draw(number)[0],
            subject=subject,
            label=label,
            split="test",
            position=f"{part / 4}",
        )
    for number in range(3):
        cohort.add(f"t{number}.png", draw(90 + number)[0], position="0.5")
    found = cohort.examine()
    assert len(found["subjects.healthy-of-sick"].where) == 6
    assert "the 3 in train" in found["subjects.healthy-of-sick"].what
    assert found["slices.healthy-beside-lesions"].value == 1
    for row in cohort.rows[:24:4]:
        row["position"] = "0.3"
    assert "slices.healthy-beside-lesions" not in cohort.examine()


def test_slices_are_not_subjects(tmp_path: Path) -> None:
    cohort = Planted(tmp_path)
    for number in range(24):
        cohort.add(f"{number:02d}.png", draw(number)[0], subject=f"p{number // 8}")
    found = cohort.examine()["slices.many-a-subject"]
    assert len(found.where) == 3
    assert found.value == 8


@pytest.mark.parametrize("alone", [True, False])
def test_slices_scaled_one_by_one(tmp_path: Path, alone: bool) -> None:
    cohort = Planted(tmp_path)
    for number in range(24):
        image = draw(number)[0] * (1 - 0.08 * (number % 8))
        image *= 255 / image.max() if alone else 1.2
        cohort.add(f"{number:02d}.png", image.astype(np.uint8), subject=f"p{number // 8}")
    assert ("slices.scaled-one-by-one" in cohort.examine()) == alone


def test_labels_are_those_of_masks_where_a_manifest_is_opened_row_by_row(cohort: Planted) -> None:
    for row in cohort.rows:
        del row["label"]
    cohort.rows[-1]["subject"] = "s00"
    found = cohort.examine()
    assert "subjects.in-two-splits" in found
    # The healthy image that is now of a subject with a lesion counts as anomalous, too.
    assert "7 images anomalous, 32 healthy" in found["cohort.note"].what


def test_a_manifest_of_bad_rows_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every bad row cost a look at all of them: hours for a large table."""
    cohort = plant(tmp_path, train=8, val=0, healthy=0, anomalous=0)
    for row in cohort.rows[1:]:
        row["label"] = "0"
    looks: list[int] = []
    crowded = manifest._crowded_keys
    monkeypatch.setattr(manifest, "_crowded_keys", lambda rows: looks.append(len(rows)) or crowded(rows))
    assert len(cohort.examine()["table.row"].where) == 7
    assert len(looks) <= 2


def test_radiographs_of_one_person_are_no_neighbouring_slices(tmp_path: Path) -> None:
    cohort = Planted(tmp_path)
    for number in range(24):
        name = f"{number:02d}.png"
        cohort.add(name, draw(number)[0], subject=f"p{number // 4}", scan=name, modality="CXR")
    assert not {code for code in cohort.examine() if code.startswith("slices.")}
