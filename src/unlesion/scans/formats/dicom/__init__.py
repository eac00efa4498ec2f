"""DICOM: series of single-frame files and enhanced multi-frame files, plain or compressed.

Results for a series are NIfTI files in its geometry; a mask can be written as a DICOM segmentation besides.
"""

from __future__ import annotations

from unlesion.scans.formats.dicom.contrast import guess_modality
from unlesion.scans.formats.dicom.header import Header, read_header
from unlesion.scans.formats.dicom.reading import files_of, read
from unlesion.scans.formats.dicom.segmentation import write_segmentation
from unlesion.scans.formats.dicom.series import Series, gather, no_scan
from unlesion.scans.formats.dicom.sniff import ENDINGS, files_below, is_dicom

__all__ = [
    "ENDINGS",
    "Header",
    "Series",
    "files_below",
    "files_of",
    "gather",
    "guess_modality",
    "is_dicom",
    "no_scan",
    "read",
    "read_header",
    "write_segmentation",
]
