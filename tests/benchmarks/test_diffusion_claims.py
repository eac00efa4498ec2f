"""The scripts in `benchmarks/` that look at what a diffusion method's code does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.benchmarks.scripts import script
from tests.cohorts import write_pictures
from unlesion.cli.app import run
from unlesion.detector import Detector
from unlesion.errors import BadInput
from unlesion.prepare import Prepared, load_recipe
from unlesion.scans import Cohort

contrast, code_swap = script("contrast"), script("code_swap")


def test_the_divergence_is_that_of_the_formula() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1.5, 4000)
    counts = contrast.counted(values)
    assert counts.shape == (500,) and counts.sum() == 4000
    assert contrast.divergence(counts, counts) == 0
    # All pixels in one bin against all in another: (n + 1/2) against 1/2 in two bins, nothing elsewhere.
    one, other = contrast.counted(np.full(100, 0.2)), contrast.counted(np.full(100, 0.9))
    expected = 100 / 350 * np.log(100.5 / 0.5)
    assert contrast.divergence(one, other) == pytest.approx(expected, rel=1e-12)
    assert contrast.divergence(np.stack([one, one]), np.stack([one, other])) == pytest.approx([0, expected])


def test_what_lies_beyond_the_range_is_counted_at_its_ends() -> None:
    counts = contrast.counted(np.array([-3.0, 0.0, 1.5, 7.0]))
    assert (counts[0], counts[-1], counts.sum()) == (2, 2, 4)


class Painter:
    """Stands for a run: draws the scan, a bit darker."""

    def __init__(self, darker: float) -> None:
        self.darker = darker
        self.seen: list[Prepared] = []

    def evidence(self, prepared: Prepared, *, device: str) -> Prepared:
        self.seen.append(prepared)
        return _Drawn(prepared.images - self.darker)  # type: ignore[return-value]


class _Drawn:
    def __init__(self, healthy: np.ndarray) -> None:
        self.healthy = healthy


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), healthy=4, anomalous=4)


def test_lesions_and_what_the_ceiling_cuts_are_left_out(manifest: Path) -> None:
    entry = Cohort.open(manifest).select(split="test", label="anomalous")[0]
    scan = entry.read()
    assert scan.lesions is not None
    prepared = load_recipe("slices", {"size": 32}).prepare(scan)
    healthy = contrast.healthy_pixels(scan, prepared)
    assert not (healthy & ~prepared.roi).any()
    everywhere = contrast.healthy_pixels(replace(scan, lesions=None), prepared)
    assert np.array_equal(everywhere, prepared.roi)
    # The lesion is far brighter than all else of this head: none of it is left.
    tissue = prepared.images[:, 0]
    assert tissue[prepared.roi].max() > 0.8 and tissue[healthy].max() < 0.65

    painter = Painter(0.0)
    twice = contrast.Histograms()
    twice.add(2.0, prepared, prepared.roi, {"a": painter})
    (seen,) = painter.seen
    assert seen.images.max() == 1.5
    bright = int((tissue[prepared.roi] >= 0.75).sum())
    assert 0 < bright == twice.cut and twice.healthy == prepared.roi.sum()
    assert twice.scan[0].sum() == twice.redrawn["a"][0].sum() == twice.healthy - bright
    assert np.array_equal(twice.scan[0], twice.redrawn["a"][0])


def test_powers_are_those_of_training(manifest: Path) -> None:
    prepared = load_recipe("slices", {"size": 32}).prepare(Cohort.open(manifest)[0].read())
    painter = Painter(0.0)
    contrast.Histograms().add(1.41, prepared, prepared.roi, {"a": painter}, power=True)
    (seen,) = painter.seen
    bent = torch.from_numpy(prepared.images[:1].copy())
    torch_power = 0.5 * (2.0 * bent).pow(1.41)
    np.testing.assert_allclose(seen.images[:1], torch_power.clamp(max=1.5).numpy(), rtol=1e-5)
    assert [np.log2(power) for power in contrast.POWERS] == pytest.approx([-0.5, 0, 0.5], abs=0.01)


def test_ratios_are_paired_over_subjects(manifest: Path) -> None:
    recipe = load_recipe("slices", {"size": 32})
    found = contrast.Histograms()
    for entry in Cohort.open(manifest).select(split="test", label="healthy"):
        for number in range(2):
            prepared = replace(recipe.prepare(entry.read()), subject=f"{entry.subject}-{number}")
            found.add(1.0, prepared, prepared.roi, {"far": Painter(0.3), "near": Painter(0.02)})
    assert len(set(found.subjects)) == 8
    for way in (found.per_scan, found.pooled):
        far, near = way("far"), way("near")
        weights = np.ones((1, 8))
        assert far(weights) > near(weights) > 0
        same = contrast.ratio(far, far)
        assert contrast.cell(same, 8) == "1 [1, 1]"
        assert contrast.ratio(far, near)(weights) == pytest.approx(far(weights) / near(weights))
    each = [contrast.divergence(*pair) for pair in zip(found.scan, found.redrawn["far"], strict=True)]
    assert found.per_scan("far")(np.ones((1, 8))) == pytest.approx(np.mean(each))


@pytest.fixture(scope="module")
def runs(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny runs of both methods, a few steps long."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("ddpm", "cddpm"):
        words = ["train", manifest, "--method", name, "--preset", "tiny", "--steps", 30, "--jobs", 1]
        assert run([str(word) for word in (*words, "--out", folder / name)]) == 0
    return {name: folder / name for name in ("ddpm", "cddpm")}


@pytest.mark.slow
def test_contrast_end_to_end(
    manifest: Path, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "histograms.png"
    capsys.readouterr()
    words = [*runs.values(), manifest, "--where", "modality=T1", "--picture", picture, "--levels", 500]
    contrast.main([str(word) for word in words])
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "×" in line]
    assert [(row[0], row[2]) for row in rows] == [
        (f"{factor}×", name) for factor in ("0.5", "1", "2") for name in ("ddpm", "cddpm")
    ]
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert first[5:7] == ["", ""] and "[" in second[5] and float(first[7]) > 0
        above, below, ratio = (float(text.split()[0]) for text in (first[3], second[3], second[5]))
        assert ratio == pytest.approx(above / below, rel=0.02)
    assert "8 scans of 8 subjects" in "\n".join(lines)
    assert any(line.startswith("ddpm: ddpm, steps 30 of diffusion, seed 0") for line in lines)
    assert sum(line.endswith("noise levels 500") for line in lines) == 2
    assert Image.open(picture).size[0] > 500


@pytest.mark.slow
def test_the_unscaled_code_is_its_own_where_nothing_was_scaled(manifest: Path, runs: dict[str, Path]) -> None:
    detector = Detector.load(runs["cddpm"])
    prepared = detector.prepare(Cohort.open(manifest).select(split="test")[0].read())
    brighter = replace(prepared, images=prepared.images * np.float32(1.5))
    drawn = contrast.told(detector, detector.method, prepared, prepared)
    np.testing.assert_allclose(drawn, detector.evidence(prepared).healthy, atol=1e-5)
    drawn = contrast.told(detector, detector.method, brighter, prepared)
    assert np.abs(drawn - detector.evidence(brighter).healthy).max() > 1e-4

    found = contrast.Histograms()
    found.add(1.0, prepared, prepared.roi, {"cddpm": detector}, codes=True)
    assert list(found.redrawn) == ["cddpm", "cddpm, unscaled code"]
    own, unscaled = found.redrawn.values()
    # Rounding may move a pixel to the next of 500 bins.
    assert np.abs(own[0] - unscaled[0]).sum() <= 4
    assert found.drawn["cddpm"] == pytest.approx(found.drawn["cddpm, unscaled code"])


@pytest.mark.slow
def test_code_swap_end_to_end(
    manifest: Path, runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "swap.png"
    capsys.readouterr()
    code_swap.main([str(runs["cddpm"]), str(manifest), str(picture)])
    said = capsys.readouterr().out
    assert [line.split("|")[3].strip() for line in said.splitlines() if line.startswith(("| A", "| B"))] == [
        "500",
        "1000",
    ] * 2
    limits = [float(line.split("|")[-2]) for line in said.splitlines() if line.startswith("| level")]
    same_code, other_noise, other_code = limits[:3]
    # At the end of the schedule 5e-5 of the scan is left; in so few steps the code is hardly used yet.
    assert same_code < 1e-3 * other_noise and same_code < other_code
    assert len(limits) == 5
    assert Image.open(picture).size[0] > 700
    with pytest.raises(SystemExit, match="'ddpm'"):
        code_swap.main([str(runs["ddpm"]), str(manifest), str(picture)])


@pytest.mark.slow
def test_the_highest_level_forgets_the_scan_and_not_the_noise(manifest: Path, runs: dict[str, Path]) -> None:
    detector = Detector.load(runs["cddpm"])
    redrawing = code_swap.Redrawing(detector)
    one, other = (
        code_swap.fullest_slice(detector, entry) for entry in code_swap.two_entries(Cohort.open(manifest), [])
    )
    other = replace(other, seeds=one.seeds)
    assert not torch.equal(one.images, other.images)
    apart = (redrawing.noisy(one, 1000) - redrawing.noisy(other, 1000)).abs().max()
    assert apart < 1e-4
    assert (redrawing.noisy(one, 1) - one.images[0])[:, one.roi[0, 0]].abs().mean() < 0.01
    halfway = redrawing.swap(one, other, 500)
    assert torch.equal(halfway.own, redrawing.drawn(one, one, 500))
    assert not torch.equal(halfway.own, halfway.told)


def test_scans_are_chosen_by_name_or_by_subject(manifest: Path) -> None:
    cohort = Cohort.open(manifest)
    one, other = code_swap.two_entries(cohort, [])
    assert one.label == other.label == "healthy" and one.subject != other.subject
    assert code_swap.two_entries(cohort, [other.key, one.key]) == (other, one)
    with pytest.raises(BadInput, match="no such scan"):
        code_swap.two_entries(cohort, [one.key, "nobody"])


@pytest.mark.slow
def test_levels_are_asked_of_one_run(
    runs: dict[str, Path], manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    levels = script("noise_levels")
    picture = tmp_path / "levels.png"
    words = [str(runs["ddpm"]), str(manifest), "--split", "test", "--levels", "1", "900", "1,900", "900,900"]
    levels.main([*words, "--picture", str(picture)])
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["1", "900", "1,900", "900,900"]
    error = {row[0]: float(row[1]) for row in rows}
    # Next to no noise gives back the scan as well as the network knows it; the pictures have no twins.
    assert error["1"] < error["900"]
    assert {row[3] for row in rows} == {"–"}
    with Image.open(picture) as drawn:
        assert drawn.width == 5 * (levels.SIDE + levels.GAP)
    with pytest.raises(SystemExit, match="give whole numbers"):
        levels.main([*words[:4], "--levels", "a"])
    levels.main([*words[:4], "--levels", "900", "--set", "method.sampler=ddim", "--set", "method.steps=3"])
    chain = capsys.readouterr().out.splitlines()[2].strip("| ").split(" | ")
    assert float(chain[1]) != error["900"]
    with pytest.raises(SystemExit, match=r"method\.width: the training hangs on it"):
        levels.main([*words[:4], "--levels", "900", "--set", "method.width=16"])


@pytest.mark.slow
def test_the_sheet_has_a_row_a_run(manifest: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    sheet = script("sheet")
    words = [str(manifest), str(tmp_path / "both.png"), *map(str, runs.values())]
    sheet.main([*words, "--both", "--scans", "2"])
    both = Image.open(tmp_path / "both.png").convert("RGB")
    sheet.main([words[0], str(tmp_path / "maps.png"), *words[2:], "--scans", "2"])
    maps = Image.open(tmp_path / "maps.png")
    assert both.height == maps.height and both.width > maps.width
    # Two rows of runs below that of the scans, each with a drawn image and a map for both scans.
    pitch = (both.width - sheet.LEFT) // 2
    for row in (1, 2):
        for column in range(2):
            for place in range(2):
                left = sheet.LEFT + column * pitch + place * (sheet.SIDE + sheet.GAP)
                top = sheet.TOP + row * (sheet.SIDE + sheet.GAP)
                tile = np.asarray(both.crop((left, top, left + sheet.SIDE, top + sheet.SIDE)))
                assert len(np.unique(tile)) > 10


def test_speed_is_measured_of_methods_and_of_runs(runs: dict[str, Path]) -> None:
    speed = script("diffusion_speed")
    method, network = speed.made(str(runs["ddpm"]))
    assert method.name == "ddpm" and method.config.precision == "32"
    assert torch.equal(next(network.parameters()), next(Detector.load(runs["ddpm"]).network.parameters()))
    method, _ = speed.made("cddpm")
    assert method.name == "cddpm" and method.config.precision == "32"
