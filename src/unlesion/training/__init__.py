"""Training: cohort in, calibrated detector out; the only room that knows Lightning."""

from unlesion.training.claiming import is_finished
from unlesion.training.repeat import cohort_options
from unlesion.training.train import train

__all__ = ["cohort_options", "is_finished", "train"]
