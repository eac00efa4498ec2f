"""Implants in real scans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from unlesion.phantom.implant import write_implants
from unlesion.phantom.implant.anatomy import anatomy_of
from unlesion.scans import Cohort

pytestmark = pytest.mark.real


@pytest.fixture
def oasis(real_data: Path) -> Cohort:
    where = ["source=oasis_t1_2d", "subject=oasis_nd006", "label=healthy"]
    if not (real_data / "oasis_t1_2d").is_dir():
        pytest.skip("no oasis_t1_2d")
    return Cohort.open(real_data, where=where)


@pytest.mark.slow
def test_slices(oasis: Cohort, tmp_path: Path) -> None:
    done = write_implants(oasis, tmp_path, pathologies=["glioma", "multiple sclerosis", "acute stroke"])
    assert (done.healthy, done.implanted, done.failures) == (32, 8, ())
    for entry in Cohort.open(done.manifest).select(label="anomalous"):
        scan = entry.read()
        assert scan.twin is not None and scan.lesions is not None
        assert (scan.voxels[0][~scan.lesions] == scan.twin[0][~scan.lesions]).mean() > 0.6
        assert (scan.twin[0][scan.lesions] > 0).all()
        asked, got = float(entry.columns["asked_ml"]), float(entry.columns["size_ml"])
        assert got == pytest.approx(asked, rel=0.6) or asked < 0.3


def test_heights_of_neighbouring_slices(oasis: Cohort) -> None:
    """The slices lie upside down, a millimetre or so apart: found without being told."""
    found = [anatomy_of(entry.read()) for entry in oasis.entries[::10]]
    heights = [float(one.anatomy.height[one.anatomy.brain].mean()) for one in found]
    assert all(one.turned for one in found)
    assert (np.diff(heights) > 2).all() and 20 < heights[-1] - heights[0] < 45


@pytest.mark.slow
def test_a_volume(real_data: Path, tmp_path: Path) -> None:
    where = ["source=malf_t1", "subject=malf_1122"]
    if not (real_data / "malf_t1").is_dir():
        pytest.skip("no malf_t1")
    cohort = Cohort.open(real_data, where=where)
    done = write_implants(cohort, tmp_path, pathologies=["glioma", "white-matter hyperintensities"])
    assert (done.implanted, done.failures, done.warnings) == (2, (), ())
    for entry in Cohort.open(done.manifest).select(label="anomalous"):
        scan = entry.read()
        assert scan.twin is not None and scan.lesions is not None
        assert scan.grid.header.get_data_dtype() == np.int16
        image, twin, mask = scan.voxels[0], scan.twin[0], scan.lesions
        assert (twin[mask] > 0).all()
        far = ndimage.distance_transform_edt(~mask) > 60
        assert np.array_equal(image[far], twin[far])
        assert mask.sum() / 1000 == pytest.approx(float(entry.columns["asked_ml"]), rel=0.35)
        core = ndimage.binary_erosion(mask)
        fine = [part - ndimage.uniform_filter(part, 3) for part in (image, twin)]
        if core.sum() > 200:
            assert fine[0][core].std() > 0.5 * fine[1][core].std()
