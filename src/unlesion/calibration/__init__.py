"""Healthy scans to thresholds and p-values."""

from __future__ import annotations

from unlesion.calibration.calibration import RATES, Calibration, CalibrationBuilder
from unlesion.calibration.profile import TrainingProfile

__all__ = ["RATES", "Calibration", "CalibrationBuilder", "TrainingProfile"]
