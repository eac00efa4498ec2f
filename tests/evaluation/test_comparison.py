from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.scenes import calibration, evaluated, scans, written
from unlesion.errors import BadInput
from unlesion.evaluation import Bootstrap, compare, write_comparison

QUICK = {"bootstrap": Bootstrap(replicates=200), "rounds": 500}


def test_a_better_method_is_seen(tmp_path: Path) -> None:
    weak = written(tmp_path / "weak", subjects=16, contrast=1.0)
    strong = written(tmp_path / "strong", subjects=16, contrast=2.5)
    found = compare([weak, strong], **QUICK)[0]  # type: ignore[arg-type]
    ap = found.get("voxel.ap")
    assert (found.first, found.second, found.subjects) == ("weak", "strong", 16)
    assert ap is not None and ap.difference is not None and ap.ci is not None and ap.p_value is not None
    assert ap.difference == pytest.approx(ap.second - ap.first)  # type: ignore[operator]
    assert 0 < ap.ci[0] < ap.difference < ap.ci[1]
    assert ap.p_value < 0.05
    back = compare([strong, weak], **QUICK)[0].get("voxel.ap")  # type: ignore[arg-type]
    assert back is not None and back.difference == pytest.approx(-ap.difference)


def test_a_method_against_itself_on_another_scale(tmp_path: Path) -> None:
    """Scores only matter by their order: ten times the same scores are no difference."""
    one = written(tmp_path / "one", subjects=10)
    ten = tmp_path / "ten"
    evaluated(
        scans(subjects=10, scale=1024.0), name="ten", calibrations={"native": calibration(scale=1024.0)}
    ).write(ten)
    found = compare([one, ten], **QUICK)[0]  # type: ignore[arg-type]
    for metric in ("voxel.ap", "image.auroc", "voxel.dice_at_fpr.fpr_001"):
        difference = found.get(metric)
        assert difference is not None
        assert difference.difference == pytest.approx(0, abs=1e-6)
        assert difference.p_value == 1.0


@pytest.mark.slow
def test_under_the_null_p_values_are_not_small(tmp_path: Path) -> None:
    """Two equally good methods on differing scales: p-values below 0.1 are about as rare as promised."""
    small = 0
    for seed in range(40):
        one, two = tmp_path / f"a{seed}", tmp_path / f"b{seed}"
        common = {"subjects": 6, "rows": 2, "seed": seed, "contrast": 1.0}
        evaluated(scans(**common, noise_seed=2 * seed), name="a", replicates=2).write(one)  # type: ignore[arg-type]
        evaluated(scans(**common, noise_seed=2 * seed + 1, scale=50.0), name="b", replicates=2).write(two)  # type: ignore[arg-type]
        found = compare([one, two], bootstrap=Bootstrap(replicates=2), rounds=200)[0].get("voxel.ap")
        assert found is not None and found.p_value is not None
        small += found.p_value <= 0.1
    assert small <= 10  # binomial(40, 0.1): 10 or fewer in 99.9 %


def test_all_pairs_and_files(tmp_path: Path) -> None:
    folders = [written(tmp_path / name, contrast=c) for name, c in (("a", 1.0), ("b", 1.5), ("c", 2.0))]
    found = compare(folders, **QUICK)  # type: ignore[arg-type]
    assert [(pair.first, pair.second) for pair in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    write_comparison(found, tmp_path / "out")
    saved = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert len(saved["comparisons"]) == 3
    with (tmp_path / "out" / "compare.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 12
    assert float(rows[0]["difference"]) == pytest.approx(found[0].differences[0].difference)
    assert compare(folders, scoring="shared", **QUICK)[0].get("voxel.ap") is not None  # type: ignore[arg-type]


def test_few_subjects_have_no_interval_but_a_p_value(tmp_path: Path) -> None:
    folders = [written(tmp_path / name, subjects=4, contrast=c) for name, c in (("a", 1.0), ("b", 2.0))]
    found = compare(folders, **QUICK)[0].get("voxel.ap")  # type: ignore[arg-type]
    assert found is not None and found.ci is None
    # All 16 exchanges are counted: no p-value below 2/16, for that of everybody turns the sign.
    assert found.p_value is not None and found.p_value >= 2 / 16 - 1e-9


def test_undefined_metrics_say_why(tmp_path: Path) -> None:
    for name in ("a", "b"):
        healthy = (scan for scan in scans() if scan.label == "healthy")
        evaluated(healthy, name=name).write(tmp_path / name)
    found = compare([tmp_path / "a", tmp_path / "b"], **QUICK)[0].get("voxel.ap")  # type: ignore[arg-type]
    assert found is not None and found.difference is None and "lesion" in found.why


def healed(folder: Path, *, left: float, name: str) -> Path:
    """Evaluate a method that leaves a share of each lesion's error, more of it in later subjects."""
    items = (
        scan
        if scan.twin is None or scan.image is None
        else replace(scan, healthy=scan.twin + (0.1 * left + 0.002 * int(scan.subject[1:])))
        for scan in scans(subjects=12)
    )
    evaluated(items, name=name).write(folder)
    return folder


def test_twin_gain_is_compared_subject_by_subject(tmp_path: Path) -> None:
    good = healed(tmp_path / "good", left=0.2, name="good")
    bad = healed(tmp_path / "bad", left=0.5, name="bad")
    found = compare([bad, good], **QUICK)[0].get("twin.gain")  # type: ignore[arg-type]
    assert found is not None and found.first is not None and found.second is not None
    # All have a lesion as strong as the others': the gain is 1 minus what is left of it.
    assert found.difference == pytest.approx(0.3, abs=1e-5)
    assert found.difference == pytest.approx(found.second - found.first)
    # In every subject the same, so that no resampling changes it; of 2^6 exchanges two are as large.
    assert found.ci == pytest.approx((0.3, 0.3), abs=1e-5)
    assert found.p_value == pytest.approx(2 / 2**6)


def test_twin_gain_is_compared_only_where_it_can_be(tmp_path: Path) -> None:
    good, bad = (healed(tmp_path / name, left=left, name=name) for name, left in (("a", 0.2), ("b", 0.5)))
    assert compare([good, bad], scoring="shared", **QUICK)[0].get("twin.gain") is None  # type: ignore[arg-type]
    # As an earlier version wrote it.
    with np.load(bad / "histograms.npz") as arrays:
        kept = {name: arrays[name] for name in arrays if not name.startswith("twin.")}
    np.savez(bad / "histograms.npz", **kept)
    found = compare([good, bad], **QUICK)[0].get("twin.gain")  # type: ignore[arg-type]
    assert found is not None and found.difference is None and found.first is not None
    assert "evaluate it again" in found.why


def test_other_cohorts_are_refused(tmp_path: Path) -> None:
    one = written(tmp_path / "one")
    evaluated(scans(), digest="other").write(tmp_path / "digest")
    with pytest.raises(BadInput, match="another cohort") as caught:
        compare([one, tmp_path / "digest"])
    assert "\n" not in str(caught.value)
    fewer = written(tmp_path / "fewer", subjects=7)
    with pytest.raises(BadInput, match="other scans"):
        compare([one, fewer])
    evaluated(replace(scan, roi=scan.roi & (np.arange(40)[:, None, None] < 30)) for scan in scans()).write(
        tmp_path / "roi"
    )
    with pytest.raises(BadInput, match="regions of interest"):
        compare([one, tmp_path / "roi"])


def test_what_is_no_evaluation_is_refused(tmp_path: Path) -> None:
    one = written(tmp_path / "one")
    with pytest.raises(BadInput, match="at least two"):
        compare([one])
    with pytest.raises(BadInput, match="not an evaluation"):
        compare([one, tmp_path / "nowhere"])
    broken = written(tmp_path / "broken")
    (broken / "histograms.npz").write_bytes(b"PK rubbish")
    with pytest.raises(BadInput, match="damaged"):
        compare([one, broken])
    native_only = tmp_path / "native"
    evaluated(replace(s, maps={"native": s.maps["native"]}) for s in scans()).write(native_only)
    with pytest.raises(BadInput, match="no shared scoring"):
        compare([one, native_only], scoring="shared")
