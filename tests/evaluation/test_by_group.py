from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from tests.evaluation.scenes import calibration, evaluated, scans
from unlesion.evaluation import EvaluatedScan
from unlesion.evaluation.output import plain

KINDS = ("disc", "square")


def cohort(**settings: Any) -> list[EvaluatedScan]:
    """24 subjects, odd ones sick, of two pathologies, two sites; the size of the lesions varies by row."""
    out = []
    for scan in scans(subjects=24, **settings):
        number, row = int(scan.subject[1:]), int(scan.key[-1])
        columns = {
            "site": "north" if number < 14 else "south",
            "sex": "F",
            "age": str(30 + 2 * number),
            "size_ml": "0.5" if row == 1 else "3",
            "source": "made-up" if number % 3 else "",
        }
        kind = "none" if scan.label == "healthy" else KINDS[number % 4 == 1]
        out.append(replace(scan, columns=columns, pathology=kind))
    return out


def measured(items: Iterable[EvaluatedScan]) -> dict[str, Any]:
    both = {"native": calibration(), "shared": calibration()}
    found: dict[str, Any] = plain(evaluated(iter(items), calibrations=both).metrics)
    return found


@pytest.fixture(scope="module")
def items() -> list[EvaluatedScan]:
    return cohort()


@pytest.fixture(scope="module")
def metrics(items: list[EvaluatedScan]) -> dict[str, Any]:
    return measured(items)


def test_columns_and_groups(metrics: dict[str, Any]) -> None:
    """One sex and one source tell nothing apart; the order is that of the docs."""
    assert {name: list(groups) for name, groups in metrics["by"].items()} == {
        "pathology": ["disc", "square"],
        "size_band": ["0.1-1 ml", "1-5 ml"],
        "site": ["north", "south"],
        "age_band": ["20-39", "40-59", "60-79"],
    }
    assert set(metrics["grouping"]) == set(metrics["by"])
    assert "all healthy scans" in metrics["grouping"]["pathology"]["holds"]
    assert "within the group" in metrics["grouping"]["site"]["holds"]


def test_pathology_against_scikit_learn(items: list[EvaluatedScan], metrics: dict[str, Any]) -> None:
    threshold = np.float32(calibration().thresholds["fpr_001"])
    for kind in KINDS:
        found = metrics["by"]["pathology"][kind]
        mine = [s for s in items if s.pathology == kind]
        truth = np.concatenate([s.truth[s.roi] for s in mine])  # type: ignore[index]
        scores = np.concatenate([s.maps["native"][0][s.roi] for s in mine])
        voxel = found["voxel"]
        assert voxel["ap"]["value"] == pytest.approx(average_precision_score(truth, scores), abs=1e-3)
        assert voxel["auroc"]["value"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-3)
        assert voxel["prevalence"]["value"] == pytest.approx(truth.mean())
        assert voxel["dice_at_fpr"]["fpr_001"]["value"] == pytest.approx(f1_score(truth, scores > threshold))
        shared = np.concatenate([s.maps["shared"][0][s.roi] for s in mine])
        assert found["shared"]["voxel"]["ap"]["value"] == pytest.approx(
            average_precision_score(truth, shared), abs=1e-3
        )


def test_scans_of_a_pathology_stand_against_all_healthy_ones(
    items: list[EvaluatedScan], metrics: dict[str, Any]
) -> None:
    from unlesion.scoring import pool_map

    rows: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    for scan in items:
        rows.setdefault(scan.subject, []).append(pool_map(scan.maps["native"][0], scan.roi))
        if scan.label == "anomalous":
            kinds[scan.subject] = scan.pathology
    for kind in KINDS:
        kept = [subject for subject in rows if kinds.get(subject, kind) == kind]
        labels = [subject in kinds for subject in kept]
        expected = roc_auc_score(labels, [np.mean(rows[subject]) for subject in kept])
        found = metrics["by"]["pathology"][kind]["image"]["auroc"]
        assert found["value"] == pytest.approx(expected)
        assert found["examinations"] == {"anomalous": sum(labels), "healthy": 12}


def test_few_patients_have_no_interval_however_many_are_healthy(items: list[EvaluatedScan]) -> None:
    rare = [
        replace(s, pathology="rare")
        if s.subject in ("s1", "s3", "s5", "s7") and s.label == "anomalous"
        else s
        for s in items
    ]
    found = measured(rare)["by"]["pathology"]
    assert found["rare"]["n"]["subjects"]["value"] == 4
    assert found["rare"]["image"]["auroc"]["value"] is not None
    assert found["rare"]["image"]["auroc"]["ci"] is None
    assert found["rare"]["image"]["auroc"]["ci_why"] == "fewer than 5 subjects in the group"
    assert found["rare"]["voxel"]["ap"]["ci"] is None


def test_a_site_is_as_if_evaluated_alone(items: list[EvaluatedScan], metrics: dict[str, Any]) -> None:
    alone = measured(s for s in items if s.columns["site"] == "north")
    found = metrics["by"]["site"]["north"]
    assert found["n"] == alone["n"]
    for name in ("ap", "auroc", "ap_scan", "prevalence", "dice_oracle"):
        assert found["voxel"][name] == alone["voxel"][name], name
    assert found["voxel"]["dice_at_fpr"] == {"fpr_001": alone["voxel"]["dice_at_fpr"]["fpr_001"]}
    assert found["image"]["auroc"]["ci"] == alone["image"]["auroc"]["ci"]
    assert found["image"]["flagged"] == alone["image"]["flagged"]
    assert found["realised_fpr"] == {"fpr_001": alone["realised_fpr"]["fpr_001"]}
    assert found["lesion"] == alone["lesion"]
    assert found["healthy"]["mae"]["value"] == pytest.approx(alone["healthy"]["mae"]["value"])
    assert found["twin"]["gain"]["value"] == pytest.approx(alone["twin"]["gain"]["value"])
    assert found["shared"]["voxel"]["ap"] == alone["shared"]["voxel"]["ap"]


def test_one_pathology_of_all_scans_is_the_whole(items: list[EvaluatedScan]) -> None:
    """Where a second kind is found in nobody's roi, the first one's scans are all that count."""
    anomalous = [replace(s, pathology="disc") for s in items if s.label == "anomalous"]
    blank = replace(anomalous[0], key="blank", pathology="other", lesions=None)
    whole, found = measured(anomalous), measured([*anomalous, blank])
    assert whole["by"].get("pathology") is None
    disc = found["by"]["pathology"]["disc"]
    for name in ("ap", "auroc", "ap_scan", "prevalence", "dice_oracle"):
        assert disc["voxel"][name] == whole["voxel"][name], name
    assert disc["lesion"] == whole["lesion"]
    assert disc["n"] == whole["n"]
    other = found["by"]["pathology"]["other"]
    assert other["voxel"]["ap"]["value"] is None and "no lesion voxels" in other["voxel"]["ap"]["why"]
    assert other["n"]["scans"]["value"] == 1 and other["n"]["voxels"]["value"] == 0


@pytest.mark.parametrize("column", ["site", "age_band"])
def test_groups_of_all_scans_part_the_whole(metrics: dict[str, Any], column: str) -> None:
    for name in ("scans", "healthy", "anomalous", "lesions", "voxels", "subjects", "examinations"):
        parts = [group["n"][name]["value"] for group in metrics["by"][column].values()]
        assert sum(parts) == metrics["n"][name]["value"], name
        assert min(parts) > 0
    assert metrics["grouping"][column]["scans_in_no_group"] == 0


@pytest.mark.parametrize("column", ["pathology", "size_band"])
def test_groups_of_lesions_part_the_anomalous_scans(metrics: dict[str, Any], column: str) -> None:
    groups = metrics["by"][column].values()
    assert sum(g["n"]["anomalous"]["value"] for g in groups) == metrics["n"]["anomalous"]["value"]
    assert sum(g["n"]["lesions"]["value"] for g in groups) == metrics["n"]["lesions"]["value"]
    for group in groups:
        assert group["n"]["healthy"]["value"] == 0
        # Healthy scans would be counted for each group: what is about them is left out, not undefined.
        assert "healthy" not in group and "realised_fpr" not in group
        assert set(group["image"]["flagged"]) == {"anomalous"}


def test_scans_without_a_value_are_counted_but_not_grouped(items: list[EvaluatedScan]) -> None:
    third = [
        replace(s, columns={**s.columns, "site": "" if s.subject == "s0" else s.columns["site"]})
        for s in items
    ]
    found = measured(third)
    assert found["grouping"]["site"]["scans_in_no_group"] == 3
    assert sum(g["n"]["scans"]["value"] for g in found["by"]["site"].values()) == 69


def test_nothing_undefined_without_a_reason(items: list[EvaluatedScan]) -> None:
    """Small groups have no interval, groups without lesions or healthy scans no value; all say why."""
    few = [replace(s, columns={**s.columns, "site": f"site {s.subject}"}) for s in items[:15]]
    found = measured(few)["by"]
    json.dumps(found, allow_nan=False)
    leaves = list(_leaves(found))
    assert len(leaves) > 60
    for place, metric in leaves:
        if metric["value"] is None:
            assert metric["why"], place
        elif metric["ci"] is None and not place.startswith("n."):
            assert ".n." in place or metric["ci_why"], place
    assert found["site"]["site s0"]["voxel"]["ap"]["value"] is None
    assert found["site"]["site s1"]["voxel"]["ap"]["value"] is not None
    assert found["site"]["site s1"]["voxel"]["ap"]["ci_why"] == "fewer than 5 subjects"


def test_the_order_of_scans_does_not_matter(items: list[EvaluatedScan], metrics: dict[str, Any]) -> None:
    again = measured(items[::-1])["by"]
    assert {name: list(groups) for name, groups in again.items()} == {
        name: list(groups) for name, groups in metrics["by"].items()
    }
    for (place, one), (_, two) in zip(_leaves(again), _leaves(metrics["by"]), strict=True):
        assert one["value"] == pytest.approx(two["value"], rel=1e-9), place
        assert (one["ci"] is None) == (two["ci"] is None), place
        assert one["ci"] is None or one["ci"] == pytest.approx(two["ci"], rel=1e-9), place


def test_without_calibration_or_shared_maps(items: list[EvaluatedScan]) -> None:
    alone = [replace(s, maps={"native": s.maps["native"]}, healthy=None) for s in items]
    found = plain(evaluated(iter(alone), calibrations={}).metrics)["by"]["pathology"]["disc"]
    assert "shared" not in found
    assert found["voxel"]["ap"]["value"] is not None
    assert "threshold" in found["voxel"]["dice_at_fpr"]["fpr_001"]["why"]
    assert "threshold" in found["lesion"]["recall"]["why"]
    assert found["twin"]["gain"]["value"] is None


def test_groups_can_differ(items: list[EvaluatedScan]) -> None:
    """The same lesions, half as bright in one of the groups."""
    weak = [
        replace(s, maps={name: (m[0] * (0.5 if s.pathology == "disc" else 1.0), m[1], m[2]) for name, m in s.maps.items()})
        for s in items
    ]  # fmt: skip
    found = measured(weak)["by"]["pathology"]
    assert found["disc"]["image"]["auroc"]["value"] < found["square"]["image"]["auroc"]["value"]


def test_rows_say_their_groups(tmp_path: Path, items: list[EvaluatedScan]) -> None:
    evaluated(iter(items)).write(tmp_path)
    with (tmp_path / "scans.csv").open() as stream:
        rows = {row["key"]: row for row in csv.DictReader(stream)}
    assert (rows["s0/1"]["age_band"], rows["s0/1"]["size_band"]) == ("20-39", "")
    assert (rows["s23/1"]["age_band"], rows["s23/1"]["size_band"]) == ("60-79", "0.1-1 ml")
    assert (rows["s23/2"]["site"], rows["s23/2"]["size_band"]) == ("south", "1-5 ml")


def _leaves(value: Any, place: str = "") -> Iterable[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict) and "ci" in value:
        yield place, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{place}.{name}")
