"""BIDS datasets as cohorts: images by their names, people by `participants.tsv`, masks by derivatives."""

from __future__ import annotations

from unlesion.scans.bids.dataset import PARTICIPANTS, is_bids, lacks_description, table_of_bids

__all__ = ["PARTICIPANTS", "is_bids", "lacks_description", "table_of_bids"]
