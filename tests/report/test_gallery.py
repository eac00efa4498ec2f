from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.report import scenes
from unlesion.errors import BadInput
from unlesion.evaluation.scan import EvaluatedScan
from unlesion.report import Gallery, GalleryBuilder, GalleryCase
from unlesion.scoring import PostConfig

SHAPE = (40, 36, 6)


def add(
    builder: GalleryBuilder,
    key: str,
    *,
    dice: float | None = None,
    alarms: float = 0.0,
    marked: bool = True,
    **more: object,
) -> None:
    """A scan with a lesion found to about the given share, or a healthy one with false alarms."""
    generator = np.random.default_rng(zlib.crc32(key.encode()))
    anomaly = np.zeros(SHAPE, np.float32)
    lesions = None
    if dice is not None:
        lesions = np.zeros(SHAPE, bool)
        lesions[5:15, 5:15, 2] = True
        anomaly[5 : 5 + round(10 * dice), 5:15, 2] = 1.5
    if alarms:
        anomaly[20 : 20 + round(20 * alarms), 20:30, 4] = 1.2
    builder.add(
        key=key,
        label="healthy" if dice is None and marked else "anomalous",
        image=generator.random((1, *SHAPE)).astype(np.float32) * 500,
        healthy=generator.random((1, *SHAPE)).astype(np.float32) * 500,
        anomaly=anomaly,
        roi=np.ones(SHAPE, bool),
        lesions=lesions,
        window=(0.0, 500.0),
        spacing=(1.0, 1.0, 3.0),
        **more,  # type: ignore[arg-type]
    )


def test_extremes_and_typical_cases() -> None:
    builder = GalleryBuilder(threshold=1.0, each=2)
    for n in range(11):
        add(builder, f"ill{n:02d}", dice=n / 10)
        add(builder, f"well{n:02d}", alarms=n / 20)
    found = builder.finish()
    assert {case.key for case in found.of("best")} == {"ill10", "ill09"}
    assert {case.key for case in found.of("miss")} == {"ill00", "ill01"}
    assert {case.key for case in found.of("false_alarm")} == {"well10", "well09"}
    assert {case.key for case in found.of("lesion")} == {"ill05", "ill06"}
    assert {case.key for case in found.of("healthy")} == {"well04", "well05"}
    assert found.calibrated
    assert found.of("best")[0].facts["slice"] == "3 of 6"
    assert found.of("false_alarm")[0].facts["slice"] == "5 of 6"
    keys = [case.key for case in found.cases]
    assert len(keys) == len(set(keys))


def test_what_is_shown_does_not_depend_on_the_order_of_scans() -> None:
    shown = []
    for order in (range(60), reversed(range(60))):
        builder = GalleryBuilder(threshold=1.0)
        for n in order:
            add(builder, f"ill{n}", dice=(n % 20) / 20)
        shown.append([case.key for case in builder.finish().of("lesion")])
    assert len(shown[0]) == 4 and shown[0] == shown[1]


def test_a_gallery_stays_small_and_has_a_subject_once_under_a_heading() -> None:
    builder = GalleryBuilder(threshold=1.0, each=3)
    for n in range(200):
        add(builder, f"{n % 4}/slice{n}", dice=(n % 9) / 9, subject=f"subject{n % 4}", alarms=0.1)
    found = builder.finish()
    assert len(found.cases) <= 15
    for kind in ("best", "miss", "lesion", "false_alarm"):
        subjects = [case.key.split("/")[0] for case in found.of(kind)]  # type: ignore[arg-type]
        assert len(subjects) == len(set(subjects))


def test_without_masks_the_score_decides() -> None:
    builder = GalleryBuilder(threshold=1.0, each=1)
    for n in range(5):
        add(builder, f"ill{n}", marked=False, score=float(n), p_value=0.5)
    found = builder.finish()
    assert [case.key for case in found.of("best")] == ["ill4"]
    assert [case.key for case in found.of("miss")] == ["ill0"]
    assert found.of("best")[0].truth is None
    assert "Dice" not in found.of("best")[0].facts


def test_without_calibration_colours_are_fixed_by_the_first_map() -> None:
    builder = GalleryBuilder(threshold=None)
    for n in range(3):
        add(builder, f"well{n}", alarms=0.2 * (n + 1))
    found = builder.finish()
    assert not found.calibrated
    assert not {"Dice", "lesion found", "false alarms", "above threshold"} & {
        name for case in found.cases for name in case.facts
    }
    assert found.threshold > 0
    assert GalleryBuilder(threshold=0.0).finish().threshold > 0


def test_what_was_not_found_at_all_is_not_found_best() -> None:
    builder = GalleryBuilder(threshold=1.0)
    lesions = np.zeros(SHAPE, bool)
    lesions[5:9, 5:9, 2] = True
    for n in range(9):
        builder.add(
            key=f"s{n}",
            label="anomalous",
            image=np.zeros(SHAPE, np.float32),
            anomaly=np.zeros(SHAPE, np.float32),
            roi=np.ones(SHAPE, bool),
            window=(0.0, 1.0),
            lesions=lesions,
        )
    found = builder.finish()
    assert found.of("best") == []
    assert len(found.of("miss")) == 4


def test_an_evaluated_scan_is_looked_at_in_its_units() -> None:
    builder = GalleryBuilder(threshold=1.0)
    roi = np.ones(SHAPE, bool)
    image = np.full((2, *SHAPE), 7.0, np.float32)
    image[0, :20] = 3.0
    builder.look(
        EvaluatedScan(
            key="a",
            subject="a",
            scan_id="a",
            label="healthy",
            maps={"native": (np.zeros(SHAPE, np.float32), None, 0.3)},
            roi=roi,
            image=image,
            sides=("R", "L"),
        ),
        {"score": 0.3, "p_value": 0.5, "dice": None},
    )
    (case,) = builder.finish().cases
    np.testing.assert_allclose(np.unique(case.image), [0.0, 1.0], atol=1e-6)
    assert case.facts["score"] == "0.3"
    assert case.sides == ("R", "L")


def test_a_case_is_cropped_and_small_and_keeps_millimetres() -> None:
    roi = np.zeros((900, 700, 1), bool)
    roi[100:800, 100:600] = True
    builder = GalleryBuilder(threshold=1.0)
    builder.add(
        key="big",
        label="healthy",
        image=np.zeros(roi.shape, np.float32),
        anomaly=np.zeros(roi.shape, np.float32),
        roi=roi,
        window=(0.0, 1.0),
        spacing=(0.5, 1.0, 1.0),
    )
    (case,) = builder.finish().cases
    assert max(case.image.shape) <= 256
    height, width = (n * mm for n, mm in zip(case.image.shape, case.spacing, strict=True))
    assert height == pytest.approx(0.5 * 700, rel=0.15)
    assert width == pytest.approx(500, rel=0.15)


def test_saved_and_loaded(tmp_path: Path) -> None:
    before = scenes.gallery(each=2)
    before.save(tmp_path / "gallery")
    before.save(tmp_path / "gallery")
    after = Gallery.load(tmp_path / "gallery")
    assert after.threshold == before.threshold
    assert [c.key for c in after.cases] == [c.key for c in before.cases]
    for one, other in zip(before.cases, after.cases, strict=True):
        np.testing.assert_allclose(one.image, other.image, atol=1e-3)
        np.testing.assert_array_equal(one.truth, other.truth)
        np.testing.assert_array_equal(one.found, other.found)
        assert one.facts == other.facts
        assert one.sides == other.sides == ("R", "L")
    plain = GalleryCase(key="x", kind="healthy", image=before.cases[0].image, anomaly=before.cases[0].anomaly)
    plain.save(tmp_path / "plain")
    loaded = GalleryCase.load(tmp_path / "plain")
    assert loaded.healthy is None
    assert loaded.truth is None
    assert loaded.sides is None
    # Galleries of earlier versions do not say.
    words = json.loads((tmp_path / "plain.json").read_text())
    del words["sides"]
    (tmp_path / "plain.json").write_text(json.dumps(words))
    assert GalleryCase.load(tmp_path / "plain").sides is None


def test_a_damaged_gallery_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    scenes.gallery().save(folder)
    first = sorted(folder.glob("*.npz"))[0]
    first.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="damaged"):
        Gallery.load(folder)
    # A pickle is never read.
    np.savez(first, image=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadInput, match="damaged"):
        Gallery.load(folder)
    (folder / "gallery.json").write_text(json.dumps({"cases": ["../x"], "threshold": 1, "calibrated": True}))
    with pytest.raises(BadInput, match="outside"):
        Gallery.load(folder)
    (folder / "gallery.json").write_text("[]")
    with pytest.raises(BadInput):
        Gallery.load(folder)


def test_arrays_must_fit() -> None:
    image = np.zeros((4, 4), np.float32)
    with pytest.raises(ValueError, match="anomaly"):
        GalleryCase(key="x", kind="healthy", image=image, anomaly=image[:2])


def test_what_is_outlined_is_what_was_measured() -> None:
    """Dice was of the cleaned mask, the outline and "lesion found" of the bare threshold."""
    roi = np.ones(SHAPE, bool)
    lesions, anomaly = np.zeros(SHAPE, bool), np.zeros(SHAPE, np.float32)
    lesions[5:8, 5:8, 2:4] = True
    anomaly[lesions] = 3.0
    builder = GalleryBuilder(threshold=1.0, post=PostConfig(min_component_ml=0.1))
    scan = EvaluatedScan(
        key="a", subject="a", scan_id="a", label="anomalous", pathology="", columns={},
        maps={"native": (anomaly, None, None)}, roi=roi, lesions=lesions,
        image=np.zeros((1, *SHAPE), np.float32), spacing=(1.0, 1.0, 1.0),
    )  # fmt: skip
    builder.look(scan, {"dice": 0.0})
    (case, *_) = builder.finish().of("miss")
    assert case.facts["lesion found"].startswith("0") and not case.found.any()


def test_scores_do_not_rank_among_dice() -> None:
    """Scans that nobody marked stood as "found best" before those whose lesions were found whole."""
    builder = GalleryBuilder(threshold=1.0, each=2)
    for n in range(4):
        add(builder, f"ill{n}", dice=n / 4, score=0.1)
        add(builder, f"unmarked{n}", marked=False, score=50.0 + n)
    found = builder.finish()
    assert found.of("best") and found.of("miss")
    assert not any(case.key.startswith("unmarked") for case in found.cases)


def test_scans_with_an_empty_mask_have_no_dice() -> None:
    builder = GalleryBuilder(threshold=1.0)
    empty = np.zeros(SHAPE, bool)
    image = np.ones((2, *SHAPE), np.float32)
    builder.add(
        key="a",
        label="anomalous",
        image=image,
        anomaly=np.ones(SHAPE, np.float32),
        roi=~empty,
        window=(0.0, 1.0),
        lesions=empty,
        score=2.0,
        modality=("T1", "FLAIR"),
    )
    case = builder.finish().cases[0]
    assert "Dice" not in case.facts and case.facts["score"] == "2"
    # Only the first of several channels is drawn, and it says which.
    assert case.channel == "T1"
