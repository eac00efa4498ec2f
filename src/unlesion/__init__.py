"""Unsupervised anomaly detection in medical images. For research use; not a medical device."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Names are looked up when first used, so that `import unlesion` and the command line stay light.
_HOMES = {
    "read_scan": "unlesion.scans",
    "Cohort": "unlesion.scans",
    "Detector": "unlesion.detector",
    "Detection": "unlesion.detector",
    "train": "unlesion.training",
}

__all__ = ["Cohort", "Detection", "Detector", "__version__", "read_scan", "train"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'unlesion' has no attribute {name!r}")
