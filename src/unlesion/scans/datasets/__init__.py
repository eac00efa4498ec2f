"""Public datasets as cohorts, read as their providers hand them out; nothing is ever downloaded."""

from __future__ import annotations

from unlesion.scans.datasets.dataset import table_of_dataset
from unlesion.scans.datasets.layout import Layout
from unlesion.scans.datasets.registry import dataset_named, dataset_names, is_dataset

__all__ = ["Layout", "dataset_named", "dataset_names", "is_dataset", "table_of_dataset"]
