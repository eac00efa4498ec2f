"""Comparing evaluations of several modalities: a scan is ranked among those of its own."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.cli.conftest import Command, unlesion  # noqa: F401
from tests.evaluation.scenes import evaluated, scans, written
from unlesion.evaluation import Bootstrap, EvaluatedScan, compare, write_comparison
from unlesion.evaluation.images import ImageScores, ScanTable
from unlesion.evaluation.paired import WithinModalityPair
from unlesion.evaluation.stored import StoredEvaluation
from unlesion.evaluation.within import auroc_within, tables_of

QUICK = {"bootstrap": Bootstrap(replicates=100), "rounds": 300}
WITHIN = "image.auroc_within_modality"

# Odd subjects are sick: 7 of 14 in T1, 2 of 9 in T2, none of 2 in PD.
OF_MODALITY = {"T1": range(14), "T2": (*range(0, 14, 2), 1, 3), "PD": (0, 2)}


def of_modalities(*, t2: float = 1.0, **settings: object) -> Iterator[EvaluatedScan]:
    """Scans of three modalities, PD of healthy subjects alone; T2's scores are `t2` times as high."""
    for scan in scans(subjects=14, rows=2, **settings):  # type: ignore[arg-type]
        for modality, subjects in OF_MODALITY.items():
            if int(scan.subject[1:]) in subjects:
                times = np.float32(t2 if modality == "T2" else 1.0)
                maps = {
                    name: tuple(None if part is None else part * times for part in parts)
                    for name, parts in scan.maps.items()
                }
                yield replace(
                    scan,
                    key=f"{scan.key}/{modality}",
                    scan_id=f"{scan.subject}-{modality}",
                    modality=(modality,),
                    columns={"modality": modality},
                    maps=maps,
                )


def made(out: Path, **settings: object) -> Path:
    evaluated(of_modalities(**settings), name=out.name, replicates=20).write(out)  # type: ignore[arg-type]
    return out


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("a") / "weak", contrast=0.1, noise_seed=3)


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("b") / "strong", contrast=3.0, t2=3.0)


def without_tables(source: Path, out: Path) -> Path:
    """As evaluations were before the scores of each modality were kept."""
    out.mkdir()
    for name in ("metrics.json", "scans.csv", "groups.npz"):
        (out / name).write_bytes((source / name).read_bytes())
    with np.load(source / "histograms.npz") as arrays:
        whole = {"subjects", "owner", "score", "anomalous"}
        kept = {k: v for k, v in arrays.items() if ".images." not in k or k.split(".images.")[1] in whole}
        assert len(kept) < len(arrays.files)
    np.savez(out / "histograms.npz", **kept)
    return out


def by_hand(folder: Path) -> float:
    """The mean of the modalities' AUROCs by their anomalous scans, out of `scans.csv`."""
    with (folder / "scans.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    areas, sick = [], []
    for modality in ("T1", "T2"):
        of_scan: dict[str, list[tuple[float, bool]]] = {}
        for row in rows:
            if row["modality"] == modality:
                found = float(row["score"]), row["label"] == "anomalous"
                of_scan.setdefault(row["scan"], []).append(found)
        truth = [any(label for _, label in found) for found in of_scan.values()]
        areas.append(roc_auc_score(truth, [np.mean([s for s, _ in found]) for found in of_scan.values()]))
        sick.append(sum(truth))
    assert sick == [7, 2]
    return float(np.average(areas, weights=sick))


def test_against_scikit_learn(weak: Path, strong: Path) -> None:
    pair = compare([weak, strong], **QUICK)[0]  # type: ignore[arg-type]
    assert [d.metric for d in pair.differences][-1] == WITHIN
    found, pooled = pair.get(WITHIN), pair.get("image.auroc")
    assert found is not None and found.difference is not None and found.ci is not None
    assert found.first == pytest.approx(by_hand(weak))
    assert found.second == pytest.approx(by_hand(strong))
    assert found.difference == pytest.approx(by_hand(strong) - by_hand(weak))
    assert found.ci[0] < found.difference < found.ci[1]
    assert found.p_value is not None and found.p_value < 0.2
    assert pooled is not None and pooled.difference != pytest.approx(found.difference)


def test_the_scores_of_a_modality_may_have_any_scale(tmp_path: Path) -> None:
    """The same scores, but those of T2 a thousand times as high: no difference, unless all are ranked together."""
    one, other = made(tmp_path / "one", contrast=0.3), made(tmp_path / "other", contrast=0.3, t2=1024.0)
    for scoring in ("native", "shared"):
        pair = compare([one, other], scoring=scoring, **QUICK)[0]  # type: ignore[arg-type]
        found, pooled = pair.get(WITHIN), pair.get("image.auroc")
        assert found is not None and pooled is not None
        assert (found.difference, found.ci, found.p_value) == (0.0, (0.0, 0.0), 1.0)
        assert pooled.difference != 0


def tables(seed: int) -> dict[str, ScanTable]:
    """Six subjects of two modalities, and one of a third that has no part; ties occur."""
    generator = np.random.default_rng(seed)
    parts = {"T1": ImageScores(), "T2": ImageScores(), "PD": ImageScores()}
    for subject in range(6):
        parts["T1"].add(f"s{subject}", "x", float(generator.integers(5)), anomalous=subject % 2 == 0)
        if subject > 1:
            parts["T2"].add(f"s{subject}", "x", float(generator.integers(5)), anomalous=subject == 4)
    parts["PD"].add("healthy", "x", 1.0, anomalous=False)
    return tables_of(parts)


def value(truths: list[np.ndarray], scores: list[np.ndarray]) -> float:
    areas = [roc_auc_score(truth, score) for truth, score in zip(truths, scores, strict=True)]
    return float(np.average(areas, weights=[truth.sum() for truth in truths]))


@pytest.mark.parametrize("seed", range(3))
def test_all_exchanges_counted_by_hand(seed: int) -> None:
    """A subject's scans of both modalities are exchanged together, as ranks within their modality."""
    from scipy.stats import rankdata

    one, two = tables(seed), tables(seed + 10)
    names = ("T1", "T2")
    truths = [one[name].anomalous for name in names]
    ranks = [[rankdata(table[name].score) for name in names] for table in (one, two)]
    differences = []
    for moved in product((False, True), repeat=6):
        swap = [np.asarray(moved), np.asarray(moved)[2:]]
        first, second = (
            value(truths, [np.where(s, b, a) for s, a, b in zip(swap, mine, other, strict=True)])
            for mine, other in (ranks, ranks[::-1])
        )
        differences.append(abs(second - first))
    pair = WithinModalityPair(one, two)
    assert pair.subjects == 6
    wanted = np.mean(np.asarray(differences) >= differences[0] - 1e-9)
    assert pair.p_value(rounds=10, seed=0) == pytest.approx(wanted)


def test_replicates_are_those_of_repeated_subjects() -> None:
    one, two = tables(1), tables(2)
    weights = Bootstrap(replicates=60).weights(6)
    found = WithinModalityPair(one, two).of_weights(weights)
    defined = 0
    for row, difference in zip(weights.astype(int), found, strict=True):
        both = []
        for table in (one, two):
            truths, scores = [], []
            for name, owners in (("T1", range(6)), ("T2", range(2, 6))):
                copies = row[list(owners)]
                truth = np.repeat(table[name].anomalous, copies)
                # Of one kind only: no part in this replicate.
                if truth.any() and not truth.all():
                    truths.append(truth)
                    scores.append(np.repeat(table[name].score, copies))
            both.append(value(truths, scores) if truths else np.nan)
        assert difference == pytest.approx(both[1] - both[0], nan_ok=True)
        defined += len(truths) == 2
    assert 0 < defined < 60


def test_the_metric_and_the_pair_are_of_one_statistic() -> None:
    one, two = tables(3), tables(4)
    values = []
    for table in (one, two):
        parts = {name: ImageScores() for name in table}
        for name, t in table.items():
            for owner, score, sick in zip(t.owner, t.score, t.anomalous, strict=True):
                parts[name].add(t.subjects[owner], "x", float(score), anomalous=bool(sick))
        values.append(auroc_within(parts, Bootstrap(replicates=10)).value)
    found = WithinModalityPair(one, two).of_weights(np.ones((1, 6)))[0]
    assert found == pytest.approx(values[1] - values[0])  # type: ignore[operator]


def test_tables_are_kept_of_several_modalities_only(weak: Path, tmp_path: Path) -> None:
    found = StoredEvaluation.open(weak, scoring="shared").by_modality
    assert {name: len(table.score) for name, table in found.items()} == {"T1": 14, "T2": 9, "PD": 2}
    assert found["PD"].subjects == ("s0", "s2") and not found["PD"].anomalous.any()
    plain = [written(tmp_path / name, subjects=6) for name in ("one", "two")]
    with np.load(plain[0] / "histograms.npz") as arrays:
        assert not [name for name in arrays.files if "modalities" in name]
    pair = compare(plain, **QUICK)[0]  # type: ignore[arg-type]
    assert WITHIN not in [d.metric for d in pair.differences]


def test_groups_are_compared_as_before(weak: Path, strong: Path) -> None:
    for pair in compare([weak, strong], by="modality", **QUICK):  # type: ignore[arg-type]
        assert WITHIN not in [d.metric for d in pair.differences]


def test_evaluations_of_before(weak: Path, strong: Path, tmp_path: Path, unlesion: Command) -> None:  # noqa: F811
    old = without_tables(weak, tmp_path / "old")
    pair = compare([old, strong], **QUICK)[0]  # type: ignore[arg-type]
    found, pooled = pair.get(WITHIN), pair.get("image.auroc")
    assert found is not None and found.first is not None and found.difference is None
    assert found.why == f"{old} was evaluated before scores were kept by modality; evaluate it again"
    assert pooled is not None and pooled.difference is not None
    said = unlesion("compare", old, strong)
    assert said.code == 0
    assert f"{WITHIN}: {found.first:.3f} -> {found.second:.3f}, not compared ({old} was evaluated" in said.out
    # Of before the metric was measured at all.
    saved = json.loads((old / "metrics.json").read_text())
    del saved["image"]["auroc_within_modality"]
    (old / "metrics.json").write_text(json.dumps(saved))
    assert compare([old, strong], **QUICK)[0].get(WITHIN) is None  # type: ignore[arg-type]


def test_other_names_of_modalities_do_not_pair(weak: Path, tmp_path: Path) -> None:
    renamed = (
        replace(scan, modality=("T1",) if scan.modality == ("PD",) else ("T2",))
        for scan in of_modalities(contrast=0.3)
    )
    evaluated(renamed, name="renamed", replicates=20).write(tmp_path / "renamed")
    pair = compare([weak, tmp_path / "renamed"], **QUICK)[0]  # type: ignore[arg-type]
    found, pooled = pair.get(WITHIN), pair.get("image.auroc")
    assert found is not None and found.difference is None and "other modalities" in found.why
    assert pooled is not None and pooled.difference is not None


def test_undefined_says_why(tmp_path: Path) -> None:
    """T1 holds the sick, T2 the healthy: nothing can be said within a modality."""
    folders = []
    for name in ("a", "b"):
        items = (
            replace(s, modality=("T1",) if int(s.subject[1:]) % 2 else ("T2",)) for s in scans(subjects=6)
        )
        evaluated(items, name=name, replicates=20).write(tmp_path / name)
        folders.append(tmp_path / name)
    found = compare(folders, **QUICK)[0].get(WITHIN)  # type: ignore[arg-type]
    assert found is not None and found.first is None and "both healthy and anomalous" in found.why


def test_files_and_words(weak: Path, strong: Path, tmp_path: Path, unlesion: Command) -> None:  # noqa: F811
    found = compare([weak, strong], **QUICK)  # type: ignore[arg-type]
    write_comparison(found, tmp_path)
    with (tmp_path / "compare.csv").open() as stream:
        assert [row["metric"] for row in csv.DictReader(stream)][-1] == WITHIN
    said = unlesion("compare", weak, strong)
    assert said.code == 0, said.err
    assert f"{WITHIN}: {by_hand(weak):.3f} -> {by_hand(strong):.3f}, difference" in said.out
