"""Age, sex and the like out of the tables of public datasets."""

from __future__ import annotations

import csv

import pytest
from tests.public_trees import TREES, plant

from unlesion.scans import Cohort

HEADER = ["IXI_ID", "SEX_ID (1=m, 2=f)", "HEIGHT", "AGE"]


def known(cohort, *names):
    return {entry.subject: tuple(entry.columns[name] for name in names) for entry in cohort}


@pytest.mark.parametrize("separator", [",", ";"])
def test_age_and_sex_of_ixi(tmp_path, separator):
    plant(tmp_path, TREES["ixi"])
    rows = [HEADER, ["2", "2", "164", "35.8"], ["12.0", "1", "", "38.78"], ["35", "0", "", "NA"]]
    with (tmp_path / "ixi.csv").open("w", newline="", encoding="utf-8-sig") as stream:
        csv.writer(stream, delimiter=separator).writerows(rows)
    cohort = Cohort.open("ixi", root=tmp_path)
    assert known(cohort, "site", "sex", "age") == {
        "IXI002": ("Guys", "F", "35.8"),
        "IXI012": ("HH", "M", "38.78"),
        "IXI035": ("IOP", "", ""),
    }


def test_without_a_table_nothing_is_known(tmp_path):
    cohort = Cohort.open("ixi", root=plant(tmp_path, TREES["ixi"]))
    assert set(known(cohort, "sex", "age").values()) == {("", "")}


def test_rows_that_contradict_each_other_say_nothing(tmp_path):
    plant(tmp_path, TREES["ixi"])
    rows = [HEADER, ["2", "2", "", "35.8"], ["2", "1", "", "35.8"], ["2", "2", "", ""]]
    with (tmp_path / "IXI.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    assert known(Cohort.open("ixi", root=tmp_path), "sex", "age")["IXI002"] == ("", "35.8")


def test_grade_and_age_of_brats_2020(tmp_path):
    plant(tmp_path, TREES["brats2020"])
    (tmp_path / "data/name_mapping.csv").write_text(
        "Grade,BraTS_2017_subject_ID,BraTS_2020_subject_ID\n"
        "HGG,a,BraTS20_Training_001\nLGG,b,BraTS20_Training_355\n"
    )
    (tmp_path / "data/survival_info.csv").write_text(
        "Brats20ID,Age,Survival_days,Extent_of_Resection\nBraTS20_Training_001,60.463,289,GTR\n"
    )
    cohort = Cohort.open("brats2020", root=tmp_path)
    assert known(cohort, "grade", "age") == {
        "BraTS20_Training_001": ("HGG", "60.463"),
        "BraTS20_Training_355": ("LGG", ""),
        "BraTS20_Validation_001": ("", ""),
    }
    assert len(Cohort.open("brats2020", root=tmp_path, where=["grade=LGG"])) == 4


@pytest.mark.parametrize("content", [b"", b"IXI_ID,AGE\n2,30\n"])
def test_another_table_of_the_name_is_not_read(tmp_path, content):
    plant(tmp_path, TREES["ixi"])
    (tmp_path / "IXI.csv").write_bytes(content)
    cohort = Cohort.open("ixi", root=tmp_path)
    assert set(known(cohort, "sex", "age").values()) == {("", "")}
    assert any("IXI.csv: no column" in warning for warning in cohort.warnings)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'IXI_ID,AGE\n"2,30\n'])
def test_a_table_that_cannot_be_read_is_refused(tmp_path, refuses, content):
    plant(tmp_path, TREES["ixi"])
    (tmp_path / "IXI.csv").write_bytes(content)
    refuses(lambda: Cohort.open("ixi", root=tmp_path), "IXI.csv", "save it again as CSV")
