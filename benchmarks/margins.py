"""How far the reference of a benchmark is ahead of every other method, and what each has itself: a column a cohort.

    python benchmarks/margins.py work/generalisation/leaderboard.csv
    python benchmarks/margins.py work/generalisation/leaderboard.csv --cohorts oasis_monotone,oasis_inverted --metrics voxel_ap

The first table has margins: the reference's voxel AP minus the method's (image AUROC where there are no masks, within
modality where there are several), on the same scans, with its 95 % interval by paired bootstrap over subjects; there is
none with fewer than five. Above 0 the reference is better. A table of each of `--metrics` follows, columns of the
leaderboard with their intervals; "guessing" is the share of lesion voxels. Margins are of one seed; with several, a
column a cohort and seed. "–": failed, not measured or not comparable (the leaderboard says which).

For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from unlesion.errors import BadInput

Row = dict[str, str]
METRICS = ("voxel_ap", "shared_voxel_ap", "voxel_ap_scan")


class Table:
    """The rows of a leaderboard by column (cohort and seed) and method."""

    def __init__(self, rows: list[Row], cohorts: tuple[str, ...] = ()) -> None:
        unknown = [name for name in cohorts if all(row["cohort"] != name for row in rows)]
        if unknown:
            raise BadInput(f"no rows of {', '.join(unknown)}; choose among the leaderboard's cohorts")
        self._rows = [row for row in rows if not cohorts or row["cohort"] in cohorts]
        self.methods = tuple(dict.fromkeys(row["method"] for row in self._rows))
        self.columns = tuple(dict.fromkeys((row["cohort"], row["seed"]) for row in self._rows))
        self._cells = {
            (row["cohort"], row["seed"], row["method"]): row for row in self._rows if row["status"] == "done"
        }

    def cells(self, method: str) -> list[Row | None]:
        """What is known of a method, a column each."""
        return [self._cells.get((*column, method)) for column in self.columns]

    def head(self, first: str) -> list[str]:
        """The first lines of a table."""
        seed = self.columns[0][1]
        names = [cohort if its == seed else f"{cohort}, seed {its}" for cohort, its in self.columns]
        return [_line(first, names), "|---" * (len(names) + 1) + "|"]

    def reference(self) -> str:
        """The method that nothing is compared with.

        Raises:
            BadInput: none, or several.
        """
        done = list(self._cells.values())
        found = {row["method"] for row in done} - {row["method"] for row in done if _compared(row)}
        if len(found) != 1:
            raise BadInput(
                f"{', '.join(sorted(found)) or 'no method'} without a comparison; give a leaderboard whose "
                "spec has a reference and other methods"
            )
        return found.pop()


def margins(table: Table) -> str:
    """Markdown: how far the reference is ahead."""
    reference = table.reference()
    others = [name for name in table.methods if name != reference]
    lines = [_line(f"`{name}`", [_margin(row) for row in table.cells(name)]) for name in others]
    return "\n".join([*table.head(f"`{reference}` minus"), *lines])


def own(table: Table, metric: str) -> str:
    """Markdown: a column of the leaderboard, of all methods."""
    lines = [_line(f"`{name}`", [_own(row, metric) for row in table.cells(name)]) for name in table.methods]
    if "voxel_ap" in metric:
        # All methods of a column saw the same scans.
        known = [
            next((row for row in cells if row and row.get("voxel_prevalence")), None)
            for cells in zip(*map(table.cells, table.methods), strict=True)
        ]
        lines.append(_line("guessing", [_own(row, "voxel_prevalence", ends=False) for row in known]))
    return "\n".join([*table.head(metric.replace("_", " ")), *lines])


def _line(first: str, cells: list[str]) -> str:
    return "| " + " | ".join([first, *cells]) + " |"


def _compared(row: Row) -> bool:
    return bool(row.get("versus_reference") or row.get("versus_note"))


def _own(row: Row | None, name: str, *, ends: bool = True) -> str:
    if row is None or not row.get(name):
        return "–"
    low, high = row.get(f"{name}_lo"), row.get(f"{name}_hi")
    return f"{float(row[name]):.3f}" + (
        f" [{float(low):.3f}, {float(high):.3f}]" if ends and low and high else ""
    )


def _margin(row: Row | None) -> str:
    """The reference minus the row's method: the leaderboard's difference with its sign turned."""
    if row is None or not row.get("versus_reference"):
        return "–"
    low, high = row.get("versus_lo"), row.get("versus_hi")
    return f"{-float(row['versus_reference']):+.3f}" + (
        f" [{-float(high):+.3f}, {-float(low):+.3f}]" if low and high else ""
    )


def main(words: list[str] | None = None) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("leaderboard", type=Path, metavar="LEADERBOARD.csv")
    parser.add_argument("--cohorts", default="", metavar="A,B", help="only these, of all")
    parser.add_argument("--metrics", default=",".join(METRICS), metavar="A,B")
    given = parser.parse_args(words)
    try:
        with given.leaderboard.open(newline="", encoding="utf-8") as stream:
            table = Table(list(csv.DictReader(stream)), tuple(filter(None, given.cohorts.split(","))))
        print(margins(table))
        for metric in filter(None, given.metrics.split(",")):
            print(f"\n{own(table, metric)}")
    except (OSError, KeyError) as error:
        sys.exit(f"{given.leaderboard}: not a leaderboard that can be read ({error})")
    except BadInput as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
