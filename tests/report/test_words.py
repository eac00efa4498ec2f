from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report import scenes
from unlesion.report.numbers import number, percent, plain, value_of
from unlesion.report.words import (
    calibration_in_words,
    evaluation_verdict,
    p_in_words,
    p_short,
    sides_in_words,
)


@pytest.mark.parametrize(
    ("p", "subjects", "words"),
    [
        (
            1 / 50,
            49,
            "about 1 healthy subject in 50 looks at least this unusual (none of the 49 compared did)",
        ),
        (2 / 50, 49, "about 1 healthy subject in 25 looks at least this unusual (compared with 49)"),
        (0.02, None, "about 1 healthy subject in 50 looks at least this unusual"),
        (0.5, 1, "more unusual than the one healthy subject compared with"),
        (1 / 3, 2, "more unusual than each of the 2 healthy subjects compared with"),
        (1.0, 20, "not unusual: nearly all healthy subjects look at least this unusual (compared with 20)"),
        (None, None, "not known: the run is not calibrated"),
    ],
)
def test_p_in_words(p: float | None, subjects: int | None, words: str) -> None:
    assert p_in_words(p, subjects) == words


@given(st.floats(min_value=1e-5, max_value=1.0))
def test_a_p_value_is_never_written_smaller_than_it_is(p: float) -> None:
    assert float(p_short(p)) >= p - 1e-9


def test_a_fraction_is_what_it_is_said_to_be() -> None:
    assert "1/9 = 0.111" in calibration_in_words(8)
    assert "1/9 = 0.111" in calibration_in_words(12, {"T1": 8, "T2": 4})


def test_few_healthy_subjects_are_said_plainly() -> None:
    assert "1/9" in calibration_in_words(8)
    assert "needs 19" in calibration_in_words(8)
    assert "needs 19" not in calibration_in_words(19)
    assert "Not calibrated" in calibration_in_words(None)


def test_the_verdict_holds_all_that_is_needed_to_judge_it() -> None:
    words = evaluation_verdict(scenes.metrics())
    for part in (
        "40 subjects",
        "52 scans",
        "0.541 [0.480, 0.603]",
        "0.031",
        "0.430 [0.300, 0.500]",
        "1.3\u00a0%",
    ):
        assert part in words


def test_without_masks_the_verdict_names_the_threshold() -> None:
    metrics = scenes.metrics()
    metrics["voxel"] = {}
    said = evaluation_verdict(metrics)
    assert "exceed it" not in said
    assert (
        "voxels of healthy test scans really exceed the threshold meant to be exceeded by 1 % of them" in said
    )
    assert "really exceed it" in evaluation_verdict(scenes.metrics())


def test_the_verdict_admits_what_may_be_chance() -> None:
    metrics = scenes.metrics()
    metrics["image"]["auroc"] = scenes.metric(0.55, 0.42, 0.66)
    assert "chance" in evaluation_verdict(metrics)
    metrics["n"]["subjects"] = 3
    assert "no claim" in evaluation_verdict(metrics)
    assert "no metric is defined" in evaluation_verdict({})


def test_the_letters_on_pictures_are_explained() -> None:
    known = sides_in_words([("R", "L"), ("R", "L")])
    assert known == "Letters on a scan: R and L are the patient's right and left."
    assert sides_in_words([("A", "P")]) == "Letters on a scan: A and P are the patient's front and back."
    assert sides_in_words([("R", "L"), None]).startswith(known + " A scan without letters does not say")
    assert sides_in_words([None, None]) == sides_in_words([]) == ""


def test_numbers_are_read_bare_or_wrapped() -> None:
    assert value_of({"n": {"scans": 3}}, "n.scans") == 3
    assert value_of({"n": {"scans": {"value": 3}}}, "n.scans") == 3
    assert value_of({"n": {"scans": {"value": None}}}, "n.scans") is None
    assert value_of({"n": 3}, "n.scans") is None
    assert number({"a": {"value": None, "ci": None}}, "a") == "–"
    written = {
        0.0: "0",
        0.12345: "0.123",
        12.345: "12.35",
        123.45: "123.5",
        999.97: "1\u202f000",
        12345.0: "12\u202f345",
        -1234567.0: "-1.23e+06",
        # Twice guessing must not read as guessing.
        0.0023: "0.0023",
        0.0011: "0.0011",
        0.0006: "0.0006",
        0.000023: "2.3e-05",
    }
    assert {value: plain(value) for value in written} == written
    assert plain(float("nan")) == "–"
    assert percent(0.0131) == "1.3\u00a0%"


@pytest.mark.parametrize(("ends", "said"), [([0.0081, 0.039], False), ([0.012, 0.039], True), (None, False)])
def test_healthy_scans_exceed_too_often_only_if_the_interval_says_so(
    ends: list[float] | None, said: bool
) -> None:
    metrics = {
        "n": {"subjects": 29, "scans": 29},
        "voxel": {"ap": {"value": 0.7, "ci": [0.5, 0.8]}, "prevalence": {"value": 0.003, "ci": None}},
        "realised_fpr": {"fpr_001": {"value": 0.021, "ci": ends}},
    }
    assert ("more often than they should" in evaluation_verdict(metrics)) is said


def test_with_several_modalities_the_verdict_ranks_within_them() -> None:
    auroc = {"value": 0.4, "ci": [0.3, 0.45]}
    within = {"value": 0.55, "ci": [0.45, 0.65]}
    n = {"subjects": {"value": 8}}
    said = evaluation_verdict({"n": n, "image": {"auroc": auroc, "auroc_within_modality": within}})
    assert "outscores a healthy one of its modality with probability 0.550" in said
    assert "may be chance" in said
    assert "may be chance" not in evaluation_verdict({"n": n, "image": {"auroc": auroc}})
