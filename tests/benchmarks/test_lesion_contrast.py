"""The script that tells how much of the lesions there is to see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.scripts import script

lesion_contrast = script("lesion_contrast")

# A brain of 100 and 200 whose median is 100; a lesion of 4 x 4 pixels in the dark part.
HEALTHY = np.pad(np.where(np.arange(32) < 20, 100, 200)[None].repeat(32, 0), 4)


def write(folder: Path, lesion: int, *, bright: int = 200) -> Path:
    """A test scan with a lesion of that grey value, and its twin."""
    folder.mkdir()
    healthy = np.where(HEALTHY == 200, bright, HEALTHY).astype(np.uint16)
    mask = np.zeros_like(healthy)
    mask[10:14, 10:14] = 1
    for name, image in (("twin", healthy), ("scan", np.where(mask, lesion, healthy)), ("mask", mask * 255)):
        Image.fromarray(image.astype(np.uint16)).save(folder / f"{name}.png")
    columns = "path,mask_path,twin_path,subject,split,label"
    (folder / "manifest.csv").write_text(f"{columns}\nscan.png,mask.png,twin.png,somebody,test,anomalous\n")
    return folder / "manifest.csv"


def row(manifest: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    lesion_contrast.main([str(manifest)])
    return capsys.readouterr().out.splitlines()[2].strip("| ").split(" | ")


def test_contrast_is_the_difference_in_standard_deviations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spread = HEALTHY[HEALTHY > 0].std()
    found = row(write(tmp_path / "dark", 60), capsys)
    assert found == ["dark", "1", f"{40 / spread:.2f}", "0%", "100%", "1.00", "none"]
    faint = row(write(tmp_path / "faint", 110), capsys)
    assert faint[2:5] == [f"{10 / spread:.2f}", "100%", "0%"]


def test_what_lies_beyond_three_medians_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = row(write(tmp_path / "bright", 500, bright=400), capsys)
    # 12 of 32 columns are cut; of the 400 that the lesion is brighter, 200 are left.
    assert found[5:] == ["0.50", "somebody 38%"]


def test_without_twins_there_is_nothing_to_tell(tmp_path: Path) -> None:
    manifest = write(tmp_path / "alone", 60)
    manifest.write_text(manifest.read_text().replace("twin.png", ""))
    with pytest.raises(SystemExit, match="no anomalous test scans with a twin and a mask"):
        lesion_contrast.main([str(manifest)])
