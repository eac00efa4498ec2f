"""What comes in and goes out: scans, cohorts, and the formats they are stored in."""

from __future__ import annotations

from unlesion.scans.cohort import Cohort
from unlesion.scans.entry import Entry
from unlesion.scans.grid import CANONICAL_AXES, Grid
from unlesion.scans.reading import read_mask, read_scan
from unlesion.scans.scan import Scan
from unlesion.scans.sides import sides_of
from unlesion.scans.writing import write_binary, write_float, write_picture

__all__ = [
    "CANONICAL_AXES",
    "Cohort",
    "Entry",
    "Grid",
    "Scan",
    "read_mask",
    "read_scan",
    "sides_of",
    "write_binary",
    "write_float",
    "write_picture",
]
