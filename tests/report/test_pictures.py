from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image, ImageDraw

from unlesion.calibration import Calibration
from unlesion.detection import Detection
from unlesion.report import choose_slice, choose_slices, preview, write_preview
from unlesion.report.colours import FOUND, STOPS, TRUTH, colour_map, css_gradient, rgb
from unlesion.report.curves import (
    intervals,
    precision_recall,
    realised_rates,
    score_strips,
    training_history,
)
from unlesion.report.slices import crop_box
from unlesion.report.tiles import contour_tile, font, grey_tile, map_tile, mark_sides, tile_size
from unlesion.report.words import UNDECIDED
from unlesion.scans import Grid, Scan, read_scan


def lightness(colours: np.ndarray) -> np.ndarray:
    return colours.astype(float) @ np.array([0.2126, 0.7152, 0.0722])


def test_the_scale_is_fixed_and_rises_in_lightness() -> None:
    values = np.linspace(0, 2, 200)
    colours = colour_map(values)
    assert (np.diff(lightness(colours)) >= -1).all()
    np.testing.assert_array_equal(colour_map(np.array([2.0, 5.0, np.inf])), [rgb(STOPS[-1][1])] * 3)
    np.testing.assert_array_equal(colour_map(np.array([0.0, -1.0, np.nan])), [[0, 0, 0]] * 3)
    below, above = colour_map(np.array([0.99, 1.1]))
    assert below[2] > below[0]
    assert above[0] > above[2]
    assert css_gradient().startswith("linear-gradient(to right, #000000 0%")


def test_the_slice_that_says_most() -> None:
    anomaly = np.zeros((8, 8, 5), np.float32)
    anomaly[:, :, 3] = 1.0
    roi = np.ones(anomaly.shape, bool)
    assert choose_slice(anomaly=anomaly, roi=roi) == 3
    lesions = np.zeros(anomaly.shape, bool)
    lesions[2:4, 2:4, 1] = True
    assert choose_slice(anomaly=anomaly, roi=roi, lesions=lesions) == 1
    roi[:, :, 3] = False
    assert choose_slice(anomaly=anomaly, roi=roi) != 3
    assert choose_slice(anomaly=anomaly, roi=np.zeros_like(roi)) == 3


def test_slices_of_a_volume_hold_the_one_that_says_most() -> None:
    anomaly = np.zeros((4, 4, 60), np.float32)
    anomaly[:, :, 41] = 1
    roi = np.zeros(anomaly.shape, bool)
    roi[:, :, 10:50] = True
    chosen = choose_slices(anomaly=anomaly, roi=roi, count=6)
    assert 41 in chosen
    assert len(chosen) == 6
    assert chosen == sorted(chosen)
    assert all(10 <= at < 50 for at in chosen)
    assert choose_slices(anomaly=anomaly[:, :, :1]) == [0]


def test_crop_keeps_everything_that_is_set() -> None:
    mask = np.zeros((50, 40), bool)
    mask[20:25, 5:30] = True
    rows, columns = crop_box(mask, None, shape=mask.shape)
    assert mask[rows, columns].sum() == mask.sum()
    assert rows.stop - rows.start < 12
    assert crop_box(np.zeros_like(mask), shape=mask.shape) == (slice(0, 50), slice(0, 40))


def test_tiles_are_true_to_millimetres_and_to_values() -> None:
    assert tile_size((100, 50), spacing=(1.0, 1.0)) == (256, 128)
    assert tile_size((100, 50), spacing=(1.0, 4.0)) == (128, 256)
    grey = np.asarray(grey_tile(np.array([[-1.0, 0.0], [1.0, 7.0]]), (2, 2)))
    assert grey[..., 0].tolist() == [[0, 0], [255, 255]]
    values = np.random.default_rng(0).random((16, 16)) * 2
    np.testing.assert_array_equal(np.asarray(map_tile(values, (16, 16))), colour_map(values))


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (512, 512)])
def test_even_one_voxel_has_an_outline(size: tuple[int, int]) -> None:
    truth = np.zeros((256, 256), bool)
    truth[100, 80] = True
    drawn = np.asarray(contour_tile(np.zeros((256, 256)), size, truth=truth))
    ys, xs = np.nonzero((drawn == rgb(TRUTH)).all(axis=-1))
    assert len(ys) > 4
    assert abs(ys.mean() / size[0] - 100 / 256) < 0.02
    assert abs(xs.mean() / size[1] - 80 / 256) < 0.02


def test_found_and_annotated_have_their_own_colours() -> None:
    truth, found = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    truth[10:20, 10:20], found[40:50, 40:50] = True, True
    drawn = np.asarray(contour_tile(np.zeros((64, 64)), (64, 64), truth=truth, found=found))
    assert (drawn[:30, :30] == rgb(TRUTH)).all(axis=-1).any()
    assert (drawn[30:, 30:] == rgb(FOUND)).all(axis=-1).any()


def unplaced(shape: tuple[int, int, int]) -> Grid:
    return Grid(
        shape=shape,
        affine=np.eye(4),
        spacing=(1.0, 1.0, 1.0),
        spacing_known=False,
        family="numpy",
        file_shape=shape,
    )


def detection(shape: tuple[int, int, int], *, healthy: bool = True, calibrated: bool = True) -> Detection:
    generator = np.random.default_rng(0)
    anomaly = generator.random(shape).astype(np.float32)
    return Detection(
        healthy=generator.random((1, *shape)).astype(np.float32) if healthy else None,
        anomaly=anomaly,
        lesions=anomaly > 0.9 if calibrated else np.zeros(shape, bool),
        roi=np.ones(shape, bool),
        score=1.0,
        p_value=0.04 if calibrated else None,
        flagged=True if calibrated else None,
        alpha=0.05 if calibrated else None,
        threshold=0.9 if calibrated else None,
        volume_ml=None,
        components=3 if calibrated else None,
        warnings=("another contrast than the training scans " * 10,),
    )


@pytest.mark.parametrize("shape", [(40, 30, 1), (30, 40, 12), (200, 16, 1)])
@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("healthy", [True, False])
def test_a_preview_of_any_shape(
    tmp_path: Path, shape: tuple[int, int, int], calibrated: bool, healthy: bool
) -> None:
    grid = unplaced(shape)
    voxels = np.random.default_rng(1).random((1, *shape)).astype(np.float32)
    path = tmp_path / "a" / "preview.png"
    write_preview(
        path,
        Scan(voxels=voxels, grid=grid, key="a/b/" + "long" * 80),
        detection(shape, healthy=healthy, calibrated=calibrated),
    )
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.size[0] <= 1400
        assert picture.size[1] <= 1100


def test_the_same_map_has_the_same_colours_in_every_preview(tmp_path: Path) -> None:
    """Colours are never stretched to the image at hand."""
    shape = (64, 64, 1)
    base = detection(shape)
    quiet = np.full(shape, 0.45, np.float32)
    loud = quiet.copy()
    loud[30:34, 30:34] = 9.0
    drawn = []
    for name, anomaly in (("quiet", quiet), ("loud", loud)):
        grid = unplaced(shape)
        found = Detection(**{**base.__dict__, "anomaly": anomaly, "lesions": np.zeros(shape, bool)})
        scan = Scan(voxels=np.ones((1, *shape), np.float32), grid=grid, key="x")
        write_preview(tmp_path / f"{name}.png", scan, found)
        drawn.append(np.asarray(Image.open(tmp_path / f"{name}.png")))
    expected = colour_map(np.array([0.5]))[0]
    counts = [(picture == expected).all(axis=-1).sum() for picture in drawn]
    assert counts[0] > 50_000
    assert counts[1] > 0.95 * counts[0]


def test_a_preview_writes_every_warning_out(tmp_path: Path) -> None:
    shape = (40, 40, 1)
    base = detection(shape)
    long = "the field of view is unlike that of the training scans, " * 6
    warnings = tuple(f"{n}: {long}" for n in range(4))
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageDraw.ImageDraw, "text", lambda self, at, words, **_: said.append((at, words)))
        scan = Scan(voxels=np.ones((1, *shape), np.float32), grid=unplaced(shape), key="x")
        write_preview(tmp_path / "preview.png", scan, Detection(**{**base.__dict__, "warnings": warnings}))
    text = " ".join(words for _, words in said)
    for warning in warnings:
        assert " ".join(warning.split()) in text
    assert "…" not in text
    width = Image.open(tmp_path / "preview.png").size[0]
    assert all(x + font(13).getlength(words) <= width for (x, y), words in said if y < 400)


def test_a_preview_without_threshold_decides_nothing(tmp_path: Path) -> None:
    shape = (40, 40, 1)
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageDraw.ImageDraw, "text", lambda self, at, words, **_: said.append(words))
        scan = Scan(voxels=np.ones((1, *shape), np.float32), grid=unplaced(shape), key="x")
        write_preview(tmp_path / "preview.png", scan, detection(shape, calibrated=False))
    text = " ".join(said)
    assert UNDECIDED in text
    assert "found" not in said
    assert "regions" not in text


def test_letters_stand_in_the_upper_corners_where_sides_are_known() -> None:
    tile = grey_tile(np.full((64, 64), 0.5), (256, 256))
    marked = np.asarray(mark_sides(tile, ("R", "L"))).astype(int)
    changed = (marked != np.asarray(tile)).any(axis=-1)
    assert changed[:24, :24].any()
    assert changed[:24, -24:].any()
    assert not changed[24:].any()
    assert not changed[:, 24:-24].any()
    np.testing.assert_array_equal(np.asarray(mark_sides(tile, None)), np.asarray(tile))


@pytest.mark.parametrize("known", [True, False])
def test_a_preview_says_which_side_is_left_where_the_header_does(tmp_path: Path, known: bool) -> None:
    voxels = np.zeros((40, 40, 20), np.float32)
    # The first axis runs to the right of the patient: this is the left.
    voxels[6:10, 18:22, 8:12] = 1.0
    image = nibabel.Nifti1Image(voxels, np.eye(4))
    image.set_sform(np.eye(4), int(known))
    image.set_qform(np.eye(4), int(known))
    nibabel.save(image, tmp_path / "x.nii.gz")
    scan = read_scan(tmp_path / "x.nii.gz")
    base = detection(scan.grid.shape, healthy=False)
    found = Detection(**{**base.__dict__, "anomaly": scan.voxels[0], "lesions": scan.voxels[0] > 0.5})
    drawn, texts = [], []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preview, "mark_sides", lambda tile, sides: drawn.append((tile, sides)) or tile)
        patch.setattr(preview, "sides_in_words", lambda sides: texts.extend(sides) or "")
        write_preview(tmp_path / "preview.png", scan, found)
    assert {sides for _, sides in drawn} == set(texts) == {("R", "L") if known else None}
    tile = max((np.asarray(tile)[..., 0] for tile, _ in drawn), key=lambda pixels: int(pixels.sum()))
    # Where the header is silent the reader guesses, and nothing is claimed.
    assert not known or np.nonzero(tile > 200)[1].mean() > tile.shape[1] / 2


@pytest.mark.parametrize(
    ("modality", "said"),
    [(("",), "for all scans"), (("", ""), "for all scans"), (("flair",), "for all FLAIR scans")],
)
def test_a_preview_names_the_scans_that_share_its_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modality: tuple[str, ...], said: str
) -> None:
    """Scans without a name for their modality were called "unnamed scans"."""
    shape, told = (64, 64, 1), []
    plain = Image.new("RGB", (1, 1))
    monkeypatch.setattr(preview, "draw_preview", lambda *_, scale, **__: told.append(scale) or plain)
    voxels = np.ones((len(modality), *shape), np.float32)
    write_preview(
        tmp_path / "p.png",
        Scan(voxels=voxels, grid=unplaced(shape), key="x", modality=modality),
        detection(shape),
    )
    assert told[0].endswith(f"the same {said}")


def test_colours_follow_the_threshold_of_the_outlines(tmp_path: Path) -> None:
    """Whatever `--rate` is, half way along the scale is the threshold of `lesions`."""
    thresholds = {"fpr_0001": 4.0, "fpr_0005": 3.0, "fpr_001": 2.0, "fpr_005": 0.5}
    shape = (64, 64, 1)
    anomaly = np.full(shape, 0.5, np.float32)
    scan = Scan(voxels=np.ones((1, *shape), np.float32), grid=unplaced(shape), key="x")
    at = colour_map(np.array([1.0]))[0]

    def pixels_at_threshold(**over: object) -> int:
        own = {**thresholds, "fpr_005": over["threshold"]}
        calibration = Calibration(thresholds=own, scores=((1.0,),), n_scans=1)
        words = {"anomaly": anomaly, "lesions": np.zeros(shape, bool), **over}
        found = Detection(**{**detection(shape).__dict__, **words})  # type: ignore[arg-type]
        write_preview(tmp_path / "p.png", scan, found, calibration=calibration)
        return int((np.asarray(Image.open(tmp_path / "p.png")) == at).all(axis=-1).sum())

    assert pixels_at_threshold(threshold=0.5, rate=0.05) > 50_000
    assert pixels_at_threshold(threshold=2.0, rate=0.01) < 5_000
    # A threshold of 0 is no scale: the next stricter one is.
    anomaly[:] = 2.0
    assert pixels_at_threshold(threshold=0.0, rate=0.05) > 50_000


def test_figures_are_the_same_every_time_and_leave_matplotlib_alone() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    curves = {"native": {"recall": [0.0, 0.5, 1.0], "precision": [1.0, 0.6, 0.1], "threshold": [3, 2, 1]}}
    made = [precision_recall(curves, prevalence=0.1, marks={"native": 2.0}) for _ in range(2)]
    assert made[0] == made[1]
    assert made[0] is not None
    assert made[0].startswith("data:image/svg+xml;base64,")
    assert dict(matplotlib.rcParams) == before


def test_figures_do_without_what_is_missing() -> None:
    assert precision_recall({}) is None
    assert precision_recall({"native": {"recall": [], "precision": []}}) is None
    assert realised_rates({}) is None
    assert realised_rates({"realised_fpr": {"fpr_001": {"value": 0.0, "ci": [0.0, 0.0]}}}) is not None
    assert score_strips([], []) is None
    assert score_strips([1.0, float("inf")], []) is not None
    assert score_strips(list(np.geomspace(0.01, 10, 2000)), [3.0], threshold=2.0) is not None
    assert training_history([{"stage": "a", "step": "x", "loss": "1"}]) is None
    rows = [{"stage": s, "step": str(i), "loss": str(1 / i)} for s in "ab" for i in range(1, 40)]
    assert training_history(rows) is not None
    assert intervals([], label="AP") is None
    assert intervals([("a", 0.5, (0.4, 0.6)), ("b", 0.2, None)], label="AP", reference=0.1) is not None


def test_the_room_opens_without_matplotlib_and_torch() -> None:
    code = (
        "import sys, unlesion.report as r; "
        "bad = [m for m in ('matplotlib', 'torch', 'SimpleITK') if m in sys.modules]; sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
