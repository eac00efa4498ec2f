from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.doctor.conftest import Planted, findings_in, plant
from tests.prepare.scenes import brain_picture
from unlesion.doctor.sight import Problem, open_sight
from unlesion.scans import Entry


def test_each_fault_of_a_file_has_its_code(cohort: Planted) -> None:
    folder = cohort.folder
    (folder / "s00.png").unlink()
    (folder / "s01.png").write_bytes(b"")
    cohort.save("s02.png", np.full((48, 48), 9, np.uint8))
    cohort.save("s03.png", np.arange(100, dtype=np.uint8).reshape(10, 10))
    np.save(folder / "s04.npy", np.full((32, 32), np.nan, np.float32))
    cohort.rows[4]["path"] = "s04.npy"
    found = cohort.examine()
    for code, key in [
        ("file.missing", "s00"),
        ("file.unreadable", "s01"),
        ("image.constant", "s02"),
        ("image.too-small", "s03"),
        ("image.not-finite", "s04"),
    ]:
        assert found[code].where == (key,)
        assert found[code].level == "error"
        assert found[code].of == len(cohort.rows)
        assert key in found[code].detail and found[code].mend


def test_a_companion_on_another_grid_does_not_hide_the_image(cohort: Planted) -> None:
    sick = cohort.of("test", "anomalous")
    cohort.save(sick[0]["mask_path"], np.zeros((20, 20), np.uint8))
    cohort.save("roi.png", np.full((30, 48), 255, np.uint8))
    cohort.save("twin.png", np.full((31, 48), 255, np.uint8))
    sick[1] |= {"roi_path": "roi.png"}
    sick[2] |= {"twin_path": "twin.png"}
    found = cohort.examine()
    keys = [Path(row["path"]).stem for row in sick]
    assert found["mask.other-grid"].where == (keys[0],)
    assert found["roi.other-grid"].where == (keys[1],)
    assert found["twin.other-grid"].where == (keys[2],)
    assert "48" in found["mask.other-grid"].detail
    assert len(found["sides.unknown"].where) == len(cohort.rows)


def test_channels_on_different_grids(tmp_path: Path) -> None:
    cohort = Planted(tmp_path)
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 255, (32, 32)).astype(np.uint8)
        for modality in ("T1", "T2"):
            part = pixels[:20] if (number, modality) == (2, "T2") else pixels
            cohort.add(
                f"{number}_{modality}.png", part, subject=str(number), scan=str(number), modality=modality
            )
    found = findings_in(cohort.write(), channels=("T1", "T2"))
    assert found["channel.other-grid"].where == ("2_T1",)


def test_a_failure_of_ours_is_named_and_the_others_go_on(
    cohort: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unlesion.doctor.examinations.masks import Masks

    def trip(self: object, sight: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Masks, "measure", trip)
    found = cohort.examine()
    assert len(found["doctor.failed"].where) == len(cohort.rows)
    assert "planted" in found["doctor.failed"].detail
    assert "sides.unknown" in found


def test_every_problem_is_explained() -> None:
    import re

    from unlesion.doctor import sight
    from unlesion.doctor.examinations.files import KINDS

    text = Path(sight.__file__).read_text(encoding="utf-8")
    codes = set(re.findall(r'"((?:file|image|doctor|roi|spacing)\.[a-z-]+)"', text))
    codes |= {f"{what}.other-grid" for what in ("channel", "mask", "roi", "twin")}
    codes |= {f"{what}.not-finite" for what in ("mask", "roi", "twin")}
    assert codes == set(KINDS)
    assert Problem("file.missing", "x").code in KINDS


def test_some_voxels_not_finite(cohort: Planted) -> None:
    pixels = np.random.default_rng(0).normal(100, 5, (32, 32)).astype(np.float32)
    pixels[3, 4], pixels[5, 6] = np.nan, np.inf
    np.save(cohort.folder / "s04.npy", pixels)
    cohort.rows[4]["path"] = "s04.npy"
    assert cohort.examine()["voxels.not-finite"].where == ("s04",)


def test_negative_values_at_the_edge(tmp_path: Path) -> None:
    voxels = np.zeros((32, 32, 32), np.float32)
    voxels[8:24, 8:24, 8:24] = np.random.default_rng(0).normal(300, 20, (16, 16, 16))
    for name in ("a", "b"):
        ringing = voxels.copy()
        if name == "b":
            ringing[7, 8:24, 8:24] = -2
        nibabel.save(nibabel.Nifti1Image(ringing, np.diag([2.0, 2, 2, 1])), tmp_path / f"{name}.nii.gz")
    assert findings_in(tmp_path)["voxels.negative-at-edge"].where == ("b",)


def test_volumes_on_different_scales(tmp_path: Path) -> None:
    for name, scale in (("a", 1.0), ("b", 1.2), ("c", 9.0)):
        voxels = np.zeros((24, 24, 24), np.float32)
        voxels[4:20, 4:20, 4:20] = np.random.default_rng(0).normal(300, 20, (16, 16, 16)) * scale
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([4.0, 4, 4, 1])), tmp_path / f"{name}.nii.gz")
    found = findings_in(tmp_path)["voxels.scales-differ"]
    assert found.where == ("a", "c")
    assert found.value == pytest.approx(9, rel=0.05)


def test_what_to_do_about_an_unreadable_file_is_said_once(cohort: Planted) -> None:
    cohort.save(
        "s00.png",
        np.dstack([np.arange(48 * 48, dtype=np.uint8).reshape(48, 48)] * 2 + [np.zeros((48, 48), np.uint8)]),
    )
    found = cohort.examine()["file.unreadable"]
    assert "convert it to grey" in found.detail
    assert "copy" not in found.mend


def test_what_other_verbs_refuse_is_an_error_here_too(tmp_path: Path) -> None:
    cohort = plant(tmp_path, train=2, val=0, healthy=0, anomalous=0)
    cohort.save("roi.png", np.zeros((48, 48), np.uint8))
    cohort.rows[0]["roi_path"] = "roi.png"
    np.save(tmp_path / "v.npy", np.random.default_rng(0).random((32, 32, 20)).astype(np.float32))
    cohort.rows.append({**cohort.rows[1], "path": "v.npy", "subject": "v", "spacing_mm": "1,1"})
    found = cohort.examine()
    assert found["roi.empty"].level == found["spacing.refused"].level == "error"


def test_volumes_of_unknown_voxels_are_looked_at_coarsely(tmp_path: Path) -> None:
    """The steps were upside down: large volumes were never coarsened, thin ones merged."""
    steps = {}
    for shape in ((256, 256, 160), (64, 64, 20)):
        path = tmp_path / f"{shape[0]}.npy"
        np.save(path, np.random.default_rng(0).random(shape).astype(np.float32))
        sight, _ = open_sight(Entry(key=path.stem, paths=(path,)))
        assert sight is not None
        steps[shape] = sight.steps
    assert steps == {(256, 256, 160): (4, 4, 2), (64, 64, 20): (1, 1, 1)}


def test_the_object_of_a_brain_around_zero_is_the_brain(tmp_path: Path) -> None:
    image = brain_picture().astype(np.float32)
    inside = image > 0
    image[inside] = (image[inside] - image[inside].mean()) / image[inside].std()
    np.save(tmp_path / "z.npy", image)
    sight, _ = open_sight(Entry(key="z", paths=(tmp_path / "z.npy",), modality=("T1",)))
    assert sight is not None and sight.stripped
    assert sight.object.sum() < 1.05 * inside.sum()
