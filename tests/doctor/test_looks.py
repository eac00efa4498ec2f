from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.doctor.conftest import Planted, draw, findings_in
from unlesion.doctor.examinations.compression import jpeg_trace
from unlesion.doctor.thumbnail import means_of_others, thumbnail, unit


@pytest.mark.parametrize(
    "turn", [np.flipud, np.rot90, np.transpose], ids=["upside down", "quarter turn", "transposed"]
)
def test_a_turned_picture_is_found(cohort: Planted, turn: object) -> None:
    cohort.save("s05.png", np.ascontiguousarray(turn(draw(5)[0])))  # type: ignore[operator]
    found = cohort.examine()["orientation.disagrees"]
    assert found.where == ("s05",)
    assert "fits them once" in found.detail


def test_a_turned_volume_is_found(tmp_path: Path) -> None:
    import nibabel

    for number in range(8):
        rng = np.random.default_rng(number)
        plane = draw(number, size=40)[0].astype(np.float32)
        fading = np.linspace(1.0, 0.3, 30, dtype=np.float32)
        voxels = plane[:, :, None] * fading + rng.normal(0, 1, (40, 40, 30)) * (plane > 0)[:, :, None]
        if number == 3:
            voxels = voxels[:, :, ::-1]
        affine = np.array([[0, -4.0, 0, 0], [-4, 0, 0, 0], [0, 0, 4, 0], [0, 0, 0, 1]])
        nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), affine), tmp_path / f"s{number}.nii.gz")
    found = findings_in(tmp_path)["orientation.disagrees"]
    assert found.where == ("s3",)
    assert "slices are reversed" in found.detail


def test_equal_pixels(cohort: Planted) -> None:
    cohort.save("s01.png", draw(0)[0])
    test = Path(cohort.of("test")[0]["path"])
    cohort.save(test.name, draw(2)[0])
    found = cohort.examine()
    assert found["duplicates.within-split"].where == ("s00", "s01")
    assert found["duplicates.within-split"].level == "warning"
    assert found["duplicates.across-splits"].where == ("s02", test.stem)
    assert found["duplicates.across-splits"].level == "error"
    # Said once.
    assert not [code for code in found if code.startswith("duplicates.near")]


def test_the_same_pixels_in_another_format_are_found(cohort: Planted) -> None:
    np.save(cohort.folder / "copy.npy", draw(0)[0])
    cohort.of("test")[0]["path"] = "copy.npy"
    assert cohort.examine()["duplicates.across-splits"].where == ("s00", "copy")


def test_near_copies_of_another_subject(cohort: Planted) -> None:
    test = Path(cohort.of("test")[0]["path"])
    packed = io.BytesIO()
    Image.fromarray(draw(2)[0]).save(packed, "JPEG", quality=95)
    cohort.save(test.name, (np.asarray(Image.open(packed)) * 0.8 + 20).astype(np.uint8))
    found = cohort.examine()
    assert set(found["duplicates.near-across-splits"].where) == {"s02", test.stem}
    assert "duplicates.across-splits" not in found


def test_near_copies_of_the_same_subject_are_well(cohort: Planted) -> None:
    for name in ("x.png", "y.png"):
        noise = np.random.default_rng(len(name)).integers(0, 2, (48, 48)).astype(np.uint8)
        cohort.add(name, draw(99)[0] // 2 * 2 + noise * (name == "y.png"), subject="one")
    assert not [code for code in cohort.examine() if code.startswith("duplicates.near")]


def test_a_wrong_modality(tmp_path: Path) -> None:
    cohort = Planted(tmp_path)
    for number in range(20):
        image = draw(number)[0]
        if number % 2:
            # The other contrast: dark where the first is bright, inside the head alone.
            image = np.where(image > 0, np.clip(255 - 1.4 * image.astype(float), 5, 255), 0).astype(np.uint8)
        cohort.add(f"s{number:02d}.png", image, modality="T2" if number % 2 else "T1")
    cohort.rows[4]["modality"] = "T2"
    found = cohort.examine()["modality.disagrees"]
    assert found.where == ("s04",)
    assert found.detail == "given as T2, like T1"


@pytest.mark.parametrize("quality", [75, 90])
def test_jpeg_is_seen_in_a_png(quality: int) -> None:
    rng = np.random.default_rng(0)
    image = np.clip(np.kron(draw(0)[0], np.ones((3, 3))) + rng.normal(0, 4, (144, 144)), 0, 255).astype(
        np.uint8
    )
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, "JPEG", quality=quality)
    assert jpeg_trace(np.asarray(Image.open(packed))) > 0.25
    assert abs(jpeg_trace(image)) < 0.1


def test_jpeg_in_a_cohort(cohort: Planted) -> None:
    for number in range(len(cohort.rows)):
        rng = np.random.default_rng(number)
        pixels = np.clip(np.kron(draw(number)[0], np.ones((3, 3))) + rng.normal(0, 4, (144, 144)), 0, 255)
        packed = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(packed, "JPEG", quality=80)
        cohort.rows[number]["mask_path"] = ""
        cohort.save(f"s{number:02d}.png", np.asarray(Image.open(packed)))
    found = cohort.examine()["pixels.jpeg"]
    assert len(found.where) == len(cohort.rows)


def test_thumbnails_and_means() -> None:
    image = np.zeros((64, 48, 1), np.float32)
    image[:32] = 7
    small = thumbnail(image)
    assert small.shape == (32, 32)
    assert small[:16].min() == 1 and small[17:].max() == 0
    assert thumbnail(np.random.default_rng(0).random((20, 50, 33)).astype(np.float32)).shape == (16, 16, 16)
    units = unit(np.random.default_rng(0).random((4, 5)))
    means, others = means_of_others(units, ["a", "a", "b", "c"], [0, 0, 0, 1])
    assert others.tolist() == [1, 1, 1, 0]
    assert np.allclose(means[0], units[2], atol=1e-5)
    assert np.allclose(means[3], 0)
