"""Training: cohort in, calibrated detector out; the only room that knows Lightning."""

from unlesion.training.claiming import is_finished
from unlesion.training.train import train

__all__ = ["is_finished", "train"]
