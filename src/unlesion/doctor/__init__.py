"""`unlesion doctor`: what is wrong with data or a run, and what one should know about it."""

from __future__ import annotations

from unlesion.doctor.cohort import Examined, examine_cohort
from unlesion.doctor.examination import Examination, Seen
from unlesion.doctor.finding import Finding
from unlesion.doctor.run import examine_run

__all__ = ["Examination", "Examined", "Finding", "Seen", "examine_cohort", "examine_run"]
