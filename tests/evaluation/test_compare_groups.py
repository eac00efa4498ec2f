from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Command, unlesion  # noqa: F401
from tests.evaluation.scenes import calibration, evaluated
from tests.evaluation.test_by_group import cohort
from unlesion.errors import BadInput
from unlesion.evaluation import Bootstrap, EvaluatedScan, compare, write_comparison

QUICK = {"bootstrap": Bootstrap(replicates=100), "rounds": 300}


def made(out: Path, *, keep: str = "", **settings: object) -> Path:
    items = [s for s in cohort(rows=2, **settings) if keep in ("", s.columns["site"])]
    both = {"native": calibration(), "shared": calibration()}
    evaluated(iter(items), name=out.name, calibrations=both, replicates=20).write(out)
    return out


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("a") / "weak", contrast=1.0)


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("b") / "strong", contrast=2.5)


def test_a_site_is_compared_as_if_it_were_all(weak: Path, strong: Path, tmp_path: Path) -> None:
    found = compare([weak, strong], by="site", **QUICK)  # type: ignore[arg-type]
    assert [pair.group for pair in found] == [("site", "north"), ("site", "south")]
    alone = compare(
        [
            made(tmp_path / "weak", keep="north", contrast=1.0),
            made(tmp_path / "strong", keep="north", contrast=2.5),
        ],
        **QUICK,  # type: ignore[arg-type]
    )[0]
    assert found[0].subjects == alone.subjects == 14
    assert [d.metric for d in alone.differences if d.metric != "twin.gain"] == [
        d.metric for d in found[0].differences
    ]
    for mine in found[0].differences:
        theirs = alone.get(mine.metric)
        assert theirs is not None
        assert (mine.metric, mine.ci, mine.p_value) == (theirs.metric, theirs.ci, theirs.p_value)
        assert mine.difference == pytest.approx(theirs.difference)
    assert found[0].differences[0].ci is not None


def test_pathologies(weak: Path, strong: Path) -> None:
    found = compare([weak, strong], by="pathology", **QUICK)  # type: ignore[arg-type]
    assert [pair.group for pair in found] == [("pathology", "disc"), ("pathology", "square")]
    said = [json.loads((folder / "metrics.json").read_text())["by"]["pathology"] for folder in (weak, strong)]
    for pair in found:
        assert pair.group is not None and pair.subjects == 6
        ap = pair.get("voxel.ap")
        assert ap is not None and ap.difference is not None and ap.ci is not None and ap.p_value is not None
        first, second = (one[pair.group[1]]["voxel"]["ap"]["value"] for one in said)
        assert ap.difference == pytest.approx(second - first)
        assert 0 < ap.ci[0] < ap.difference < ap.ci[1]
        assert ap.p_value < 0.05
        image = pair.get("image.auroc")
        assert image is not None and image.ci is not None and image.p_value is not None


def test_a_method_against_itself(weak: Path) -> None:
    for pair in compare([weak, weak], by="age_band", **QUICK):  # type: ignore[arg-type]
        for difference in pair.differences:
            assert difference.difference == 0
            assert difference.p_value == 1.0
            assert difference.ci == (0.0, 0.0)


def test_few_patients_have_no_interval(tmp_path: Path) -> None:
    def rare(scan: EvaluatedScan) -> EvaluatedScan:
        few = scan.subject in ("s1", "s3", "s5") and scan.label == "anomalous"
        return replace(scan, pathology="rare") if few else scan

    folders = []
    for name, contrast in (("a", 1.0), ("b", 2.0)):
        evaluated(map(rare, cohort(rows=2, contrast=contrast)), name=name, replicates=20).write(
            tmp_path / name
        )
        folders.append(tmp_path / name)
    found = {pair.group: pair for pair in compare(folders, by="pathology", **QUICK)}  # type: ignore[arg-type]
    pair = found["pathology", "rare"]
    assert pair.subjects == 3
    for difference in pair.differences:
        assert difference.difference is not None and difference.ci is None, difference.metric


def test_shared_scoring_knows_ap_by_group(weak: Path, strong: Path) -> None:
    pair = compare([weak, strong], by="pathology", scoring="shared", **QUICK)[0]  # type: ignore[arg-type]
    ap, image = pair.get("voxel.ap"), pair.get("image.auroc")
    assert ap is not None and ap.difference is not None and ap.difference > 0
    assert image is not None and image.difference is None and "not measured by group" in image.why


def test_what_cannot_be_compared_by_group(weak: Path, strong: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="columns with groups: pathology, site, age_band") as caught:
        compare([weak, strong], by="size")
    assert "\n" not in str(caught.value)
    bare = made(tmp_path / "bare", contrast=1.0)
    (bare / "groups.npz").unlink()
    with pytest.raises(BadInput, match="evaluate again"):
        compare([weak, bare], by="site")
    # All scans together do not need it.
    assert compare([weak, bare], **QUICK)[0].get("voxel.ap") is not None  # type: ignore[arg-type]
    np.savez(bare / "groups.npz", cells=np.zeros(3))
    with pytest.raises(BadInput, match="damaged"):
        compare([weak, bare], by="site")


def test_no_counts_of_groups_where_there_are_none(tmp_path: Path) -> None:
    one = made(tmp_path / "one")
    assert (one / "groups.npz").exists()
    item = next(iter(cohort(rows=1)))
    evaluated(iter([item])).write(one)
    assert json.loads((one / "metrics.json").read_text())["by"] == {}
    assert not (one / "groups.npz").exists()


def test_files_and_words(weak: Path, strong: Path, tmp_path: Path, unlesion: Command) -> None:  # noqa: F811
    found = compare([weak, strong], by="site", **QUICK)  # type: ignore[arg-type]
    write_comparison(found, tmp_path)
    saved = json.loads((tmp_path / "compare.json").read_text())["comparisons"]
    assert [(pair["by"], pair["group"]) for pair in saved] == [("site", "north"), ("site", "south")]
    with (tmp_path / "compare.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["group"] for row in rows] == ["north"] * 3 + ["south"] * 3
    said = unlesion("compare", weak, strong, "--by", "site")
    assert said.code == 0, said.err
    assert "strong minus weak, site north (native scoring, 14 subjects)" in said.out
    assert "not corrected for the number of groups" in said.out
    said = unlesion("compare", weak, strong, "--by", "colour")
    assert said.code == 2
    assert "--by colour" in said.complaint
