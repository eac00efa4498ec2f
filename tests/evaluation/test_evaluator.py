from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from tests.evaluation.scenes import BARE, calibration, evaluated, scans
from unlesion.calibration import RATES, CalibrationBuilder
from unlesion.errors import BadInput
from unlesion.evaluation import EvaluatedScan, Evaluator
from unlesion.evaluation.output import plain


@pytest.fixture(scope="module")
def items():  # type: ignore[no-untyped-def]
    return list(scans(subjects=8))


@pytest.fixture(scope="module")
def metrics(items):  # type: ignore[no-untyped-def]
    both = {"native": calibration(), "shared": calibration()}
    return plain(evaluated(iter(items), calibrations=both).metrics)


def pooled(items, index: int = 0, name: str = "native"):  # type: ignore[no-untyped-def]
    truth = np.concatenate([scan.truth[scan.roi] for scan in items])
    return truth, np.concatenate([scan.maps[name][index][scan.roi] for scan in items])


def test_pooled_voxel_metrics(items, metrics) -> None:  # type: ignore[no-untyped-def]
    truth, scores = pooled(items)
    voxel = metrics["voxel"]
    assert voxel["ap"]["value"] == pytest.approx(average_precision_score(truth, scores), abs=1e-3)
    assert voxel["auroc"]["value"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-3)
    assert voxel["prevalence"]["value"] == pytest.approx(truth.mean())
    truth, raw = pooled(items, 1)
    assert voxel["ap_raw"]["value"] == pytest.approx(average_precision_score(truth, raw), abs=1e-3)
    per_scan = [
        average_precision_score(s.truth[s.roi], s.maps["native"][0][s.roi]) for s in items if s.truth.any()
    ]
    assert voxel["ap_scan"]["value"] == pytest.approx(np.mean(per_scan), abs=1e-3)


def test_dice_at_healthy_rates(items, metrics) -> None:  # type: ignore[no-untyped-def]
    truth, scores = pooled(items)
    thresholds = calibration().thresholds
    found = metrics["voxel"]["dice_at_fpr"]
    assert set(found) == set(RATES)
    for rate in RATES:
        assert found[rate]["value"] == pytest.approx(f1_score(truth, scores > np.float32(thresholds[rate])))
    assert metrics["voxel"]["dice_oracle"]["value"] >= max(m["value"] for m in found.values())


def test_realised_rates(items, metrics) -> None:  # type: ignore[no-untyped-def]
    for rate, intended in RATES.items():
        rates = {}
        for scan in items:
            if scan.label == "healthy":
                above = scan.maps["native"][0][scan.roi] > np.float32(calibration().thresholds[rate])
                rates.setdefault(scan.subject, []).append(above)
        expected = np.mean([np.concatenate(parts).mean() for parts in rates.values()])
        found = metrics["realised_fpr"][rate]
        assert found["value"] == pytest.approx(expected)
        assert found["intended"] == intended


def test_intervals_hold_the_values(metrics) -> None:  # type: ignore[no-untyped-def]
    leaves = []

    def walk(name: str, value: object) -> None:
        if isinstance(value, dict) and "ci" in value:
            leaves.append((name, value))
        elif isinstance(value, dict):
            for inner, one in value.items():
                walk(f"{name}.{inner}", one)

    walk(
        "", {k: metrics[k] for k in ("voxel", "image", "lesion", "healthy", "twin", "realised_fpr", "shared")}
    )
    assert len(leaves) > 30
    for name, metric in leaves:
        if metric["value"] is None:
            assert metric["why"], name
        elif metric["ci"] is not None:
            low, high = metric["ci"]
            assert low - 1e-9 <= metric["value"] <= high + 1e-9, name
    assert metrics["voxel"]["ap"]["ci"][0] < metrics["voxel"]["ap"]["ci"][1]


def test_shape_of_the_contract(metrics) -> None:  # type: ignore[no-untyped-def]
    assert set(metrics["voxel"]) == {
        "ap", "ap_raw", "ap_scan", "auroc", "prevalence", "dice_oracle", "dice_at_fpr",
    }  # fmt: skip
    assert {"auroc", "ap"} <= set(metrics["image"])
    assert set(metrics["lesion"]) == {"f1", "recall", "precision", "recall_by_size"}
    assert set(metrics["healthy"]) == {"mae", "psnr", "ssim"}
    assert set(metrics["twin"]) == {"mae_lesion", "gain"}
    assert {"scans", "subjects", "healthy", "anomalous", "lesions", "voxels"} <= set(metrics["n"])
    assert {"voxel", "image", "lesion", "realised_fpr"} <= set(metrics["shared"])
    assert metrics["sign"] == "both"
    assert set(metrics["scoring"]) == {"native", "shared"}
    assert "not a medical device" in metrics["notice"]


def test_numbers(items, metrics) -> None:  # type: ignore[no-untyped-def]
    found = {name: metric["value"] for name, metric in metrics["n"].items()}
    assert found == {
        "scans": 24, "examinations": 8, "subjects": 8, "healthy": 16, "anomalous": 8, "lesions": 8,
        "voxels": sum(int(scan.roi.sum()) for scan in items),
    }  # fmt: skip


def test_twin_and_healthy(metrics) -> None:  # type: ignore[no-untyped-def]
    # The healthy image is the scan + 0.01, the twin the scan + 0.1 inside the lesion: a tenth of the way.
    assert metrics["twin"]["gain"]["value"] == pytest.approx(0.1, abs=1e-3)
    assert metrics["healthy"]["mae"]["value"] == pytest.approx(0.01, rel=0.05)
    assert metrics["healthy"]["psnr"]["value"] == pytest.approx(40, abs=0.5)


def test_lesions(items) -> None:  # type: ignore[no-untyped-def]
    found = evaluated(iter(scans(contrast=20.0))).metrics["lesion"]
    assert found["recall"].value == 1.0
    assert 0 < found["precision"].value < 1
    assert found["f1"].value == pytest.approx(2 * found["precision"].value / (1 + found["precision"].value))


def test_order_does_not_matter(items, metrics) -> None:  # type: ignore[no-untyped-def]
    both = {"native": calibration(), "shared": calibration()}
    again = plain(evaluated(iter(items[::-1]), calibrations=both).metrics)
    for room in ("voxel", "image", "lesion", "realised_fpr", "n", "cohort"):
        assert json.dumps(again[room]) == json.dumps(metrics[room])


def test_few_subjects_have_no_interval() -> None:
    found = plain(evaluated(scans(subjects=4)).metrics)
    assert found["voxel"]["ap"]["value"] is not None
    assert found["voxel"]["ap"]["ci"] is None
    assert found["image"]["auroc"]["ci"] is None


def test_one_patient_has_no_interval(items) -> None:  # type: ignore[no-untyped-def]
    one = [s for s in items if s.label == "healthy" or s.subject == "s1"]
    found = plain(evaluated(iter(one)).metrics)
    assert found["n"]["subjects"]["value"] >= 5
    assert found["voxel"]["ap"]["ci"] is None
    assert "single subject" in found["voxel"]["ap"]["ci_why"]


def test_without_calibration(items) -> None:  # type: ignore[no-untyped-def]
    found = plain(evaluated(iter(items), calibrations={}).metrics)
    assert found["voxel"]["ap"]["value"] is not None
    assert found["voxel"]["dice_oracle"]["value"] is not None
    for metric in [
        *found["voxel"]["dice_at_fpr"].values(),
        *found["realised_fpr"].values(),
        *(found["lesion"][name] for name in ("f1", "recall", "precision")),
    ]:
        assert metric["value"] is None
        assert "threshold" in metric["why"]


def test_only_healthy_scans(items) -> None:  # type: ignore[no-untyped-def]
    found = plain(evaluated(iter([s for s in items if s.label == "healthy"])).metrics)
    for name in ("ap", "ap_raw", "ap_scan", "auroc", "dice_oracle"):
        assert found["voxel"][name]["value"] is None
        assert "lesion" in found["voxel"][name]["why"]
    assert found["image"]["auroc"]["value"] is None
    assert found["realised_fpr"]["fpr_001"]["value"] is not None
    assert found["lesion"]["f1"]["value"] is None
    json.dumps(found, allow_nan=False)


def test_anomalous_scans_without_masks_say_nothing_about_voxels(items) -> None:  # type: ignore[no-untyped-def]
    unmarked = [replace(s, lesions=None) for s in items]
    found = plain(evaluated(iter(unmarked)).metrics)
    assert found["voxel"]["ap"]["value"] is None
    assert found["image"]["auroc"]["value"] is not None
    healthy = sum(int(s.roi.sum()) for s in items if s.label == "healthy")
    assert found["n"]["voxels"]["value"] == healthy
    json.dumps(found, allow_nan=False)


def test_lesions_outside_the_roi_do_not_count(items) -> None:  # type: ignore[no-untyped-def]
    scan = items[0]
    outside = np.zeros_like(scan.roi)
    outside[0, 0] = True
    assert not replace(scan, lesions=outside).truth.any()


def test_given_lesions_count_where_there_are_no_thresholds(items) -> None:  # type: ignore[no-untyped-def]
    perfect = [replace(s, predicted=s.truth) for s in items]
    found = evaluated(iter(perfect), calibrations={}).metrics["lesion"]
    assert [found[name].value for name in ("recall", "precision", "f1")] == [1.0, 1.0, 1.0]


def test_files(tmp_path: Path, items, metrics) -> None:  # type: ignore[no-untyped-def]
    evaluation = evaluated(iter(items))
    evaluation.write(tmp_path / "e")
    saved = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert saved["voxel"]["ap"]["value"] == pytest.approx(metrics["voxel"]["ap"]["value"])
    with (tmp_path / "e" / "scans.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["key"] for row in rows] == [scan.key for scan in items]
    first, sick = rows[0], next(row for row in rows if row["label"] == "anomalous")
    assert (first["subject"], first["split"], first["site"], first["sign"]) == ("s0", "test", "a", "both")
    assert "path" not in first
    assert first["ap"] == "" and first["dice"] == ""
    scan = next(s for s in items if s.key == sick["key"])
    chosen = scan.maps["native"][0][scan.roi] > np.float32(calibration().thresholds["fpr_001"])
    assert float(sick["dice"]) == pytest.approx(f1_score(scan.truth[scan.roi], chosen))
    assert float(sick["predicted_voxels"]) == chosen.sum()
    # A single slice has an area and no volume.
    assert sick["lesion_ml"] == sick["predicted_ml"] == ""
    assert float(sick["lesion_mm2"]) == pytest.approx(56 * 4)
    assert float(sick["predicted_mm2"]) == pytest.approx(4 * chosen.sum())
    assert float(sick["fpr"]) == pytest.approx(chosen[~scan.truth[scan.roi]].mean())
    assert 0 < float(sick["p_value"]) <= 1
    for row in rows:
        assert row["flagged"] == str(float(row["p_value"]) <= 0.05)
    curves = json.loads((tmp_path / "e" / "curves.json").read_text())["native"]
    assert len(curves["recall"]) == len(curves["precision"]) == len(curves["fpr"]) <= 210
    assert curves["recall"] == sorted(curves["recall"]) and curves["recall"][-1] == 1.0


def test_seeded(items) -> None:  # type: ignore[no-untyped-def]
    one, two = (plain(evaluated(iter(items)).metrics) for _ in range(2))
    assert one == two


def test_misuse_is_refused(items) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput, match="nothing to evaluate"):
        Evaluator().finish()
    evaluator = Evaluator(scoring={"native": BARE})
    evaluator.add(items[0])
    with pytest.raises(ValueError, match="twice"):
        evaluator.add(items[0])
    with pytest.raises(ValueError, match="maps"):
        evaluator.add(replace(items[1], maps={"native": items[1].maps["native"]}))
    with pytest.raises(ValueError, match="shape"):
        evaluator.add(replace(items[1], lesions=np.zeros((3, 3, 1), bool)))
    nan = items[1].maps["native"][0].copy()
    nan[10, 10] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        Evaluator().add(replace(items[1], maps={"native": (nan, None, None)}))


def test_scans_without_a_modality_have_the_calibration_of_those_without() -> None:
    builder = CalibrationBuilder()
    for number, name in enumerate(("T1", "T1", "")):
        map_ = np.full((4, 4, 1), number + 1, np.float32)
        builder.add(str(number), map_, np.ones(map_.shape, bool), 1.0, modality=(name,))
    both = builder.finish()
    unnamed = (replace(scan, modality=("",)) for scan in scans(subjects=2))
    described = evaluated(unnamed, calibrations={"native": both}).metrics["calibration"]["native"]
    assert described["subjects"] == 1 and "parts" not in described
    assert described["thresholds"] == both.parts["unnamed"].thresholds


def test_several_modalities_are_ranked_apart_too() -> None:
    def of_two(items: Iterator[EvaluatedScan]) -> Iterator[EvaluatedScan]:
        for number, scan in enumerate(items):
            yield replace(scan, modality=("T1",) if number % 8 < 4 else ("T2",))

    one, two = evaluated(scans()).metrics, evaluated(of_two(scans())).metrics
    assert "auroc_within_modality" not in one["image"] and one["warnings"] == []
    assert set(two["image"]["auroc_within_modality"].extra["examinations"]) == {"T1", "T2"}
    assert "auroc_within_modality" in two["shared"]["image"]
    assert "2 modalities (T1, T2)" in two["warnings"][0]
    assert two["image"]["auroc"].value == one["image"]["auroc"].value
