"""DICOM series, written file by file so that tests can plant what goes wrong in real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

AXIAL = (1, 0, 0, 0, 1, 0)
CORONAL = (1, 0, 0, 0, 0, -1)
SAGITTAL = (0, 1, 0, 0, 0, -1)

# Turned about all three axes by up to 20 degrees; rows and columns still at a right angle.
_TURN = np.linalg.qr(np.array([[1.0, 0.25, -0.1], [-0.2, 1.0, 0.3], [0.15, -0.3, 1.0]]))[0]
_TURN *= np.sign(np.diag(_TURN))
OBLIQUE = (*_TURN[:, 0], *_TURN[:, 1])

Change = Callable[[Dataset, int], None]


def head(slices: int = 8, rows: int = 20, columns: int = 18) -> np.ndarray:
    """(slices, rows, columns) int16; every voxel says where it is, so any flip or swap shows."""
    k, j, i = np.meshgrid(np.arange(slices), np.arange(rows), np.arange(columns), indexing="ij")
    return (i + 30 * j + 900 * k).astype(np.int16)


def uid(*words: object) -> str:
    """An identifier that depends on these words alone."""
    return generate_uid(entropy_srcs=[repr(words)])


def slice_file(
    pixels: np.ndarray,
    *,
    position: Sequence[float] | None,
    orientation: Sequence[float] = AXIAL,
    spacing: Sequence[float] = (1.5, 1.25),
    series: str = "series",
    study: str = "study",
    number: int = 1,
    instance: int = 1,
    patient: str = "P1",
    description: str = "t1_mprage",
    modality: str = "MR",
    **elements: Any,
) -> Dataset:
    """One single-frame file; `elements` are further ones by keyword, None removes one."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid(patient, series, instance)
    data.StudyInstanceUID = uid(patient, study)
    data.SeriesInstanceUID = uid(patient, series)
    data.FrameOfReferenceUID = uid(patient, study, "frame")
    data.PatientName, data.PatientID = "Secret^Name", patient
    data.PatientSex, data.PatientAge, data.PatientBirthDate = "F", "042Y", "19700101"
    data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20200101", "120000", "1", ""
    data.ReferringPhysicianName, data.Manufacturer, data.ManufacturerModelName = (
        "Secret^Doctor",
        "Maker",
        "One",
    )
    data.DeviceSerialNumber, data.SoftwareVersions, data.PositionReferenceIndicator = "1", "1", ""
    data.ContentDate, data.ContentTime, data.AcquisitionNumber = "20200101", "120000", 1
    data.Modality, data.SeriesNumber, data.SeriesDescription = modality, number, description
    data.InstanceNumber, data.ImageType = instance, ["ORIGINAL", "PRIMARY", "M"]
    data.RepetitionTime, data.EchoTime, data.ScanningSequence = 2000.0, 3.0, "GR"
    data.SequenceVariant, data.ScanOptions, data.MRAcquisitionType = "SP", "", "3D"
    data.EchoTrainLength, data.BurnedInAnnotation = 1, "NO"
    if position is not None:
        data.ImagePositionPatient = [round(float(x), 6) for x in position]
        data.ImageOrientationPatient = [round(float(x), 9) for x in orientation]
    data.PixelSpacing = list(spacing)
    data.SliceThickness = 2.0
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape[-2:] if pixels.ndim == 2 else pixels.shape[:2]
    bits = 8 * pixels.dtype.itemsize
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    return data


def series_of(
    volume: np.ndarray,
    *,
    orientation: Sequence[float] = AXIAL,
    step: Sequence[float] | None = None,
    origin: Sequence[float] = (-20.0, -30.0, 5.0),
    change: Change | None = None,
    **options: Any,
) -> list[Dataset]:
    """The files of a volume (slices, rows, columns); `step` leads from a slice to the next, in mm."""
    across = np.cross(orientation[:3], orientation[3:])
    step = 2.0 * across if step is None else np.asarray(step, dtype=float)
    files = []
    for index, pixels in enumerate(volume):
        position = np.asarray(origin) + index * step
        data = slice_file(pixels, position=position, orientation=orientation, instance=index + 1, **options)
        if change is not None:
            change(data, index)
        files.append(data)
    return files


def save(
    files: Sequence[Dataset], folder: Path, *, name: str = "IM{:04d}", order: Sequence[int] = ()
) -> list[Path]:
    """Write files in an order of names that need not be theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, index in enumerate(order or range(len(files))):
        path = folder / name.format(number)
        pydicom.dcmwrite(path, files[index], enforce_file_format=True)
        paths.append(path)
    return paths


def corner_points(files: Sequence[Dataset]) -> dict[float, np.ndarray]:
    """By value of the first and last pixel of every file, where it lies in the NIfTI world (RAS mm).

    Straight from the definition of position and orientation (DICOM PS3.3, C.7.6.2.1.1).
    """
    points = {}
    for data in files:
        pixels = data.pixel_array
        row = np.array(data.ImageOrientationPatient[:3], dtype=float)
        column = np.array(data.ImageOrientationPatient[3:], dtype=float)
        for r, c in ((0, 0), (data.Rows - 1, data.Columns - 1), (0, data.Columns - 1)):
            point = np.array(data.ImagePositionPatient, dtype=float)
            point = point + row * data.PixelSpacing[1] * c + column * data.PixelSpacing[0] * r
            points[float(pixels[r, c])] = point * (-1, -1, 1)
    return points


def from_nifti(path: Path, folder: Path, **options: Any) -> list[Path]:
    """Write a NIfTI volume as an axial-like DICOM series: its third axis becomes the slices."""
    import nibabel

    image = nibabel.load(path)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    volume = np.asarray(image.dataobj).astype(np.int16)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    files = series_of(
        volume.transpose(2, 1, 0),
        orientation=(*(affine[:3, 0] / spacing[0]), *(affine[:3, 1] / spacing[1])),
        step=affine[:3, 2],
        origin=affine[:3, 3],
        spacing=[round(float(spacing[1]), 6), round(float(spacing[0]), 6)],
        **options,
    )
    return save(files, folder)


def enhanced(
    volume: np.ndarray,
    *,
    orientation: Sequence[float] = AXIAL,
    slopes: Sequence[float] = (),
    times: int = 1,
) -> Dataset:
    """An enhanced multi-frame file; frames in no order, every group per frame or shared."""
    across = np.cross(orientation[:3], orientation[3:])
    count = len(volume)
    data = slice_file(volume[0], position=None, orientation=orientation)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    del data.PixelSpacing, data.SliceThickness
    shared = Dataset()
    shared.PlaneOrientationSequence = [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [float(x) for x in orientation]
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = [1.5, 1.25]
    shared.PixelMeasuresSequence[0].SliceThickness = 2.0
    data.SharedFunctionalGroupsSequence = [shared]
    frames, order = [], np.random.default_rng(1).permutation(count * times)
    for index in order:
        place, time = int(index) % count, int(index) // count
        frame = Dataset()
        frame.PlanePositionSequence = [Dataset()]
        position = np.array([-20.0, -30.0, 5.0]) + 2.0 * across * place
        frame.PlanePositionSequence[0].ImagePositionPatient = [round(float(x), 6) for x in position]
        frame.FrameContentSequence = [Dataset()]
        frame.FrameContentSequence[0].TemporalPositionIndex = time + 1
        if slopes:
            frame.PixelValueTransformationSequence = [Dataset()]
            frame.PixelValueTransformationSequence[0].RescaleSlope = slopes[place]
            frame.PixelValueTransformationSequence[0].RescaleIntercept = 7
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    data.NumberOfFrames = len(frames)
    pixels = [volume[int(i) % count] + 10000 * (int(i) // count) for i in order]
    data.PixelData = np.stack(pixels).astype(volume.dtype).tobytes()
    return data
