"""The script that asks of a run of `dal` what its design demands."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.benchmarks.scripts import script
from tests.cohorts import write_pictures
from tests.methods.scenes import blob_batch
from unlesion.cli.app import run
from unlesion.detector import Detector
from unlesion.errors import BadInput

measures = script("dal_measures")
acceptance = script("dal_acceptance")


def one_hot(labels: torch.Tensor, planes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, planes).movedim(-1, 1).float()


def test_dice_is_by_tissue_and_parts_of_a_tissue_are_alike() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.long)
    labels[:, :2], labels[:, 2:] = 1, 3
    other = labels.clone()
    # Another part of the first tissue, and a quarter of the second turned into it.
    other[:, :2], other[:, 2, :2] = 2, 1
    found = measures.tissue_dice(one_hot(labels, 7), one_hot(other, 7), tissues=3)
    assert found[0] == pytest.approx(2 * 8 / (8 + 10))
    assert found[1] == pytest.approx(2 * 6 / (8 + 6))
    assert math.isnan(found[2])


def test_discs_are_unlike_what_they_cover() -> None:
    batch = blob_batch(12)
    lesioned, where = measures.disc(batch, torch.Generator().manual_seed(0))
    assert torch.equal(batch.images, blob_batch(12).images)
    for before, after, inside, roi in zip(batch.images, lesioned.images, where, batch.roi, strict=True):
        assert inside.any() and not (inside & ~roi[0]).any()
        assert torch.equal(before[0][~inside], after[0][~inside])
        (grey,) = after[0][inside].unique().tolist()
        assert abs(grey - float(before[0][inside].median())) >= measures.CONTRAST - 1e-6


def test_probes_judge_subjects_they_did_not_see() -> None:
    rng = np.random.default_rng(0)
    subjects = [f"s{number // 8}" for number in range(80)]
    heights = rng.uniform(size=80)
    knowing = np.stack([heights, rng.normal(size=80)], axis=1)
    names = ["T1" if height > 0.5 else "T2" for height in heights]
    explained, right = measures.probes(knowing, heights, names, subjects)
    assert explained > 0.95 and right > 0.9
    # What is particular to each subject helps nobody else.
    own = np.repeat(rng.normal(size=(10, 1)), 8, axis=0)
    assert measures.probes(own, heights, names, subjects)[0] < 0.2
    assert all(math.isnan(value) for value in measures.probes(own, heights, names, ["a"] * 80))


@pytest.mark.slow
def test_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_pictures(tmp_path / "pictures", healthy=4)
    words = ["train", manifest, "--method", "dal", "--preset", "tiny", "--steps", 20, "--jobs", 1]
    assert run([str(word) for word in (*words, "--out", tmp_path / "run")]) == 0
    capsys.readouterr()
    picture = tmp_path / "parts.png"
    # Another run of dal beside it: it must not be taken for the one that is asked.
    words[words.index("--steps") + 1] = 2
    assert run([str(word) for word in (*words, "--out", tmp_path / "short")]) == 0
    given = (tmp_path / "run", manifest, "--picture", picture, "--plain", tmp_path / "short")
    # Twenty steps meet no demand on images.
    with pytest.raises(SystemExit) as stopped:
        acceptance.main([str(word) for word in given])
    assert stopped.value.code == 1
    out = capsys.readouterr().out
    for name in ("T1", "T2", "T3", "T5", "T6", "T7", "T8"):
        assert f"| {name} " in out
    rows = {
        line.split("|")[1].strip(): line.split("|")[-2].strip() for line in out.splitlines() if "| T" in line
    }
    exact = [met for what, met in rows.items() if what[:2] in ("T1", "T2", "T8")]
    assert exact == ["yes"] * 3
    assert "beside `dal` (short)" in out and "no fit of grey values" in out
    assert "4 healthy scans of 4 subjects, 0 pairs." in out and "a gate: T6" in out
    assert picture.is_file()
    # A pair of contrasts of every head, as two channels.
    pairs = write_pictures(tmp_path / "pairs", modalities=("T1", "T2"))
    with pytest.raises(SystemExit):
        acceptance.main([str(word) for word in (tmp_path / "run", manifest, "--pairs", pairs)])
    captured = capsys.readouterr()
    assert "T4" in captured.out, captured.err
    assert "named by --plain" in captured.out


def test_other_methods_are_refused() -> None:
    class Other:
        name = "dae"

    detector = Detector.__new__(Detector)
    detector.method, detector.name = Other(), "some-run"  # type: ignore[assignment]
    with pytest.raises(BadInput, match="runs of 'dal'"):
        acceptance.Acceptance(detector)


def test_scans_are_spread_over_the_whole_cohort() -> None:
    """The last subjects of a cohort used to be left out, and of slices only some heights were seen."""

    class Seen(Exception):
        pass

    asked: list[int] = []

    def swept(entries: list[int], recipe: object) -> None:
        asked.extend(entries)
        raise Seen

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Seen):
        patch.setattr(measures, "sweep", swept)
        measures.batches(None, list(range(352)), None, most=40)
    assert len(asked) == 40 and asked[0] == 0 and asked[-1] == 351
    assert len({number % 32 for number in asked}) > 20


def test_a_run_or_a_place_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        acceptance.main([])
    assert "--out" in capsys.readouterr().err
