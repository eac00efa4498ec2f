"""DICOM segmentations lie where the mask lies, whatever the plane, and refer to their images."""

from __future__ import annotations

import highdicom
import numpy as np
import pydicom
import pytest
from tests.dicoms import AXIAL, CORONAL, OBLIQUE, SAGITTAL, enhanced, head, save, series_of

from unlesion.errors import BadInput
from unlesion.scans import read_scan
from unlesion.scans.formats.dicom import write_segmentation


def written(tmp_path, marked, scan, name="lesions.dcm", **options):
    path = tmp_path / name
    said = {"source": tmp_path / "s", "algorithm": "dae", "version": "0.1", "mark": "m", **options}
    return path, write_segmentation(path, marked, scan.grid, **said)


@pytest.mark.parametrize("plane", [AXIAL, CORONAL, SAGITTAL, OBLIQUE])
def test_every_marked_voxel_lies_on_its_own_image(plane, tmp_path):
    files = series_of(head(17), orientation=plane)
    save(files, tmp_path / "s", order=np.random.default_rng(0).permutation(17).tolist())
    scan = read_scan(tmp_path / "s")
    marked = np.random.default_rng(1).random(scan.grid.shape) > 0.97
    path, done = written(tmp_path, marked, scan)
    assert done
    wanted = {data.SOPInstanceUID: np.isin(data.pixel_array, scan.voxels[0][marked]) for data in files}
    found = highdicom.seg.segread(path)
    masks = found.get_pixels_by_source_instance(list(wanted), assert_missing_frames_are_empty=True)[..., 0]
    for uid, mask in zip(wanted, masks, strict=True):
        assert np.array_equal(mask > 0, wanted[uid])
    assert found.PatientID == "P1" and found.StudyInstanceUID == files[0].StudyInstanceUID
    assert "Research use only" in found.ContentDescription
    # In the patient's space, as any viewer places it.
    volume = found.get_volume()
    assert int((volume.array > 0).sum()) == int(marked.sum())


def test_same_mark_same_file(tmp_path):
    save(series_of(head()), tmp_path / "s")
    scan = read_scan(tmp_path / "s")
    marked = scan.voxels[0] > np.percentile(scan.voxels[0], 90)
    uids = [
        pydicom.dcmread(written(tmp_path, marked, scan, name, mark=mark)[0]).SOPInstanceUID
        for name, mark in (("a.dcm", "m"), ("b.dcm", "m"), ("c.dcm", "other"))
    ]
    assert uids[0] == uids[1] != uids[2]


def test_nothing_found_writes_nothing_and_what_lies_nowhere_is_refused(tmp_path):
    save(series_of(head()), tmp_path / "s")
    scan = read_scan(tmp_path / "s")
    path, done = written(tmp_path, np.zeros(scan.grid.shape, bool), scan)
    assert not done and not path.exists()

    def unplaced(data, index):
        del data.ImagePositionPatient, data.ImageOrientationPatient

    save(series_of(head(1), change=unplaced), tmp_path / "flat")
    flat = read_scan(tmp_path / "flat")
    with pytest.raises(BadInput, match="where its images lie"):
        written(tmp_path, np.ones(flat.grid.shape, bool), flat, source=tmp_path / "flat")


def test_frames_of_a_multi_frame_file(tmp_path):
    (path,) = save([enhanced(head(), orientation=OBLIQUE)], tmp_path, name="enhanced.dcm")
    scan = read_scan(path)
    marked = np.random.default_rng(1).random(scan.grid.shape) > 0.97
    seg, done = written(tmp_path, marked, scan, source=path)
    data = pydicom.dcmread(path)
    found = highdicom.seg.segread(seg)
    masks = found.get_pixels_by_source_frame(
        data.SOPInstanceUID, list(range(1, 9)), assert_missing_frames_are_empty=True
    )[..., 0]
    assert done and np.array_equal(masks > 0, np.isin(data.pixel_array, scan.voxels[0][marked]))
    (several,) = save([enhanced(head(), times=2)], tmp_path, name="several.dcm")
    with pytest.raises(BadInput, match="several volumes"):
        written(tmp_path, marked, read_scan(several, volume=1), source=several, volume=1)
