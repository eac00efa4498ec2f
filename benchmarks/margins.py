"""One table of how far the reference of a benchmark is ahead of every other method, a row a cohort.

    python benchmarks/margins.py work/generalisation/leaderboard.csv
    python benchmarks/margins.py work/generalisation/leaderboard.csv --methods ae-maps,vae-maps,ra-maps

A margin is the reference's voxel AP minus the method's (image AUROC where there are no masks, within modality where
there are several), on the same scans, with its 95 % interval by paired bootstrap over subjects; there is none with fewer
than five. Above 0 the reference is better.
Margins are of one seed; with several, a row a cohort and seed.

For research use only; not a medical device.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from unlesion.errors import BadInput

Row = dict[str, str]


def table(rows: list[Row], methods: tuple[str, ...] = ()) -> str:
    """Markdown; methods in the order asked for, or of their first rows."""
    done = [row for row in rows if row["status"] == "done"]
    # The reference is the one that nothing is compared with.
    references = {row["method"] for row in done} - {row["method"] for row in done if _compared(row)}
    if len(references) != 1:
        raise BadInput(
            f"{', '.join(sorted(references)) or 'no method'} without a comparison; give a leaderboard whose "
            "spec has a reference and other methods"
        )
    reference = references.pop()
    others = methods or tuple(dict.fromkeys(row["method"] for row in rows if row["method"] != reference))
    unknown = [name for name in others if all(row["method"] != name for row in rows)]
    if unknown:
        raise BadInput(f"no rows of {', '.join(unknown)}; choose among the leaderboard's methods")
    cells = {(row["cohort"], row["seed"], row["method"]): row for row in done}
    lines = [
        "| tested on | " + " | ".join([f"`{reference}`", *(f"minus `{name}`" for name in others)]) + " |"
    ]
    lines.append("|---" * (len(others) + 2) + "|")
    for cohort, seed in dict.fromkeys((row["cohort"], row["seed"]) for row in rows):
        first = cells.get((cohort, seed, reference))
        margins = [_margin(cells.get((cohort, seed, name))) for name in others]
        head = cohort if seed == rows[0]["seed"] else f"{cohort}, seed {seed}"
        lines.append("| " + " | ".join([head, _own(first), *margins]) + " |")
    return "\n".join(lines)


def _compared(row: Row) -> bool:
    return bool(row.get("versus_reference") or row.get("versus_note"))


def _own(row: Row | None) -> str:
    if row is None:
        return "–"
    name = next((n for n in ("voxel_ap", "image_auroc_within") if row.get(n)), "image_auroc")
    value, low, high = (row.get(f"{name}{end}") for end in ("", "_lo", "_hi"))
    if not value:
        return "–"
    return f"{float(value):.3f}" + (f" [{float(low):.3f}, {float(high):.3f}]" if low and high else "")


def _margin(row: Row | None) -> str:
    """The reference minus the row's method: the leaderboard's difference with its sign turned."""
    if row is None or not row.get("versus_reference"):
        return "–"
    text = f"{-float(row['versus_reference']):+.3f}"
    low, high = row.get("versus_lo"), row.get("versus_hi")
    return text + (f" [{-float(high):+.3f}, {-float(low):+.3f}]" if low and high else "")


def main(words: list[str] | None = None) -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("leaderboard", type=Path, metavar="LEADERBOARD.csv")
    parser.add_argument("--methods", default="", metavar="A,B")
    given = parser.parse_args(words)
    try:
        with given.leaderboard.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        print(table(rows, tuple(filter(None, given.methods.split(",")))))
    except (OSError, KeyError) as error:
        sys.exit(f"{given.leaderboard}: not a leaderboard that can be read ({error})")
    except BadInput as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
