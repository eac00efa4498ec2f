"""Training: cohort in, calibrated detector out; the only room that knows Lightning."""

from unlesion.training.train import train

__all__ = ["train"]
