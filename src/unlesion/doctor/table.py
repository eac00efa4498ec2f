"""What was found, as tables for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from unlesion.doctor.cohort import Examined
from unlesion.doctor.examinations.confounds import Confound
from unlesion.doctor.finding import LEVELS, Finding
from unlesion.wording import count

if TYPE_CHECKING:
    from rich.console import Console

COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}

# Rows of the table of confounds; `doctor.json` has all.
MOST_CONFOUNDS = 20

# Width where there is no terminal: a log file, a pipe.
WIDTH = 118


def show(examined: Examined, what: str, console: Console) -> None:
    """Print findings by severity, then the trivial predictors, then a count."""
    from rich.markup import escape
    from rich.table import Table

    rows = _merged(examined.findings)
    if rows:
        table = Table(show_lines=False, box=None, padding=(0, 1), header_style="bold")
        table.add_column("level", no_wrap=True)
        table.add_column("what, where", ratio=3, overflow="fold")
        table.add_column("what to do", ratio=2, overflow="fold")
        for finding in rows:
            colour = COLOURS[finding.level]
            table.add_row(
                f"[{colour}]{finding.level}[/]",
                escape(finding.sentence),
                escape(finding.mend),
                end_section=True,
            )
        console.print(table)
    shown = _worth_showing(examined.confounds)
    if shown:
        console.print(_confounds(shown, len(examined.confounds)))
    console.print(escape(_count(examined, what)))


def _merged(findings: Sequence[Finding]) -> list[Finding]:
    """Telling predictors have a table of their own: of each comparison only the strongest is a row."""
    told: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.code.startswith("confound."):
            told[finding.what.partition(":")[0]].append(finding)
    strongest = {id(max(own, key=_strength)): len(own) - 1 for own in told.values()}
    return [
        _with_more(finding, strongest[id(finding)]) if id(finding) in strongest else finding
        for finding in findings
        if not finding.code.startswith("confound.") or id(finding) in strongest
    ]


def _strength(finding: Finding) -> float:
    return abs((finding.value or 0.5) - 0.5)


def _with_more(finding: Finding, more: int) -> Finding:
    said = f"{finding.what}: AUROC {finding.value:.2f}"
    if finding.interval is not None:
        said += f" [{finding.interval[0]:.2f}, {finding.interval[1]:.2f}]"
    return replace(finding, what=said + (f", and {more} more (below)" if more else ""))


def _worth_showing(confounds: Sequence[Confound]) -> list[Confound]:
    """The telling ones, and the next few of those with an interval."""
    known = [row for row in confounds if row.found.interval is not None]
    telling = [row for row in known if row.telling]
    return (telling + [row for row in known if not row.telling][:5])[:MOST_CONFOUNDS]


def _confounds(rows: Sequence[Confound], tried: int) -> object:
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=f"What trivial predictors tell (AUROC; 0.5 is nothing, 0 and 1 are all; {tried} tried)",
        title_justify="left",
        box=None,
        padding=(0, 1),
        header_style="bold",
    )
    for name in ("comparison", "predictor"):
        table.add_column(name, overflow="fold")
    for name in ("AUROC", "95 % interval", "images", "subjects"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        low, high = row.found.interval or (float("nan"), float("nan"))
        table.add_row(
            escape(row.comparison),
            escape(row.predictor),
            f"{row.found.auroc:.2f}{' !' if row.telling else '  '}",
            f"{low:.2f} to {high:.2f}",
            str(row.found.images),
            str(row.found.subjects),
        )
    return table


def _count(examined: Examined, what: str) -> str:
    counts = {level: sum(f.level == level for f in examined.findings) for level in LEVELS}
    looked = f"{count(examined.scans, 'scan')} looked at; " if examined.scans else ""
    if not any(counts.values()):
        return f"{what}: {looked}nothing wrong found"
    words = ", ".join(count(many, level) for level, many in counts.items() if many)
    if not counts["error"] and not counts["warning"]:
        words += ": nothing wrong found"
    return f"{what}: {looked}{words}"
