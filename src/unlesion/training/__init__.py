"""Training: cohort in, calibrated detector out; the only room that knows Lightning."""

from unlesion.training.claiming import OtherScans, is_finished
from unlesion.training.repeat import cohort_options
from unlesion.training.reuse import OtherTraining
from unlesion.training.train import train

__all__ = ["OtherScans", "OtherTraining", "cohort_options", "is_finished", "train"]
