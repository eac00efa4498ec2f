"""`history.csv`: what the losses were, every few steps."""

from __future__ import annotations

import csv
from pathlib import Path

from unlesion.files import write_table

FIELDS = ("stage", "step", "minutes", "loss", "others")

# Rows hold the mean over this many steps: a single step says little.
EVERY = 10


class History:
    """Collects losses and writes them when asked.

    Args:
        path: the CSV file.
        stages: names of the stages in order.
    """

    def __init__(self, path: Path, stages: list[str]) -> None:
        self.path = path
        self.stages = stages
        self.rows: list[dict[str, str]] = []
        self._recent: list[dict[str, float]] = []

    def resume(self, stage: int, step: int) -> None:
        """Take over the rows of an interrupted training up to (stage, step)."""
        if not self.path.exists():
            return
        with self.path.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                place = (self.stages.index(row["stage"]), int(row["step"]))
                if place <= (stage, step):
                    self.rows.append(dict(row))

    def add(self, stage: str, step: int, minutes: float, losses: dict[str, float]) -> None:
        """Take the losses of a step."""
        if step == 0:
            # Of the stage before: fewer steps than a row has, and other losses.
            self._recent = []
        self._recent.append(losses)
        if (step + 1) % EVERY:
            return
        names = self._recent[-1]
        mean = {n: sum(r.get(n, 0.0) for r in self._recent) / len(self._recent) for n in names}
        self._recent = []
        # An adversarial stage has one loss per phase: the first stands for the stage.
        main = mean.pop("loss", None)
        if main is None:
            main = next(iter(mean.values()))
        others = " ".join(f"{name}={value:.6g}" for name, value in mean.items())
        self.rows.append(
            {
                "stage": stage,
                "step": str(step + 1),
                "minutes": f"{minutes:.4f}",
                "loss": f"{main:.6g}",
                "others": others,
            }
        )

    def write(self) -> None:
        """Write all rows."""
        write_table(self.path, FIELDS, self.rows)
