"""Figures and pages: from plain files and numbers to one HTML file that works offline."""

from __future__ import annotations

from unlesion.report.building import build_report
from unlesion.report.gallery import Gallery, GalleryCase
from unlesion.report.picking import GalleryBuilder
from unlesion.report.prepared_page import write_prepared_page
from unlesion.report.preview import write_preview
from unlesion.report.slices import choose_slice, choose_slices
from unlesion.report.words import p_in_words

__all__ = [
    "Gallery",
    "GalleryBuilder",
    "GalleryCase",
    "build_report",
    "choose_slice",
    "choose_slices",
    "p_in_words",
    "write_prepared_page",
    "write_preview",
]
