"""Metrics and statistics."""

from __future__ import annotations

from unlesion.evaluation.bootstrap import Bootstrap
from unlesion.evaluation.comparison import Comparison, PairedDifference, compare, names_of, write_comparison
from unlesion.evaluation.evaluator import Evaluation, Evaluator
from unlesion.evaluation.fidelity import Units
from unlesion.evaluation.maps_folder import (
    MapsFolder,
    calibrate_maps,
    read_maps_folder,
    said_beside,
    unknown_of_maps,
)
from unlesion.evaluation.metric import Metric
from unlesion.evaluation.scan import EvaluatedScan
from unlesion.evaluation.shared_map import SHARED

__all__ = [
    "SHARED",
    "Bootstrap",
    "Comparison",
    "EvaluatedScan",
    "Evaluation",
    "Evaluator",
    "MapsFolder",
    "Metric",
    "PairedDifference",
    "Units",
    "calibrate_maps",
    "compare",
    "names_of",
    "read_maps_folder",
    "said_beside",
    "unknown_of_maps",
    "write_comparison",
]
