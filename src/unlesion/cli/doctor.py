"""`unlesion doctor`: does every scan open, and does the run load?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from unlesion.cli.console import Console
from unlesion.cli.options import Channels, Quiet, Volume, Where, open_cohort
from unlesion.errors import BadInput


def command(
    what: Annotated[Path, typer.Argument(help="A cohort, a run or a scan.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    where: Where = None,
    channels: Channels = None,
    volume: Volume = None,
    quiet: Quiet = False,
) -> None:
    """Look for what is wrong with a cohort, a run or a scan; exit code 2 if anything is."""
    findings: list[dict[str, str]] = []
    if (what / "detector.json").exists():
        from unlesion.detector import Detector

        try:
            detector = Detector.load(what)
            if not detector.calibrations:
                findings.append(
                    {
                        "where": str(what),
                        "level": "warning",
                        "what": "not calibrated; use `unlesion calibrate`",
                    }
                )
        except BadInput as error:
            findings.append({"where": str(what), "level": "error", "what": str(error)})
    else:
        console = Console(quiet=quiet)
        opened = open_cohort(what, where=where, channels=channels, volume=volume)
        findings += [{"where": str(what), "level": "warning", "what": warning} for warning in opened.warnings]
        with console.bars("look", len(opened)) as advance:
            for entry in opened:
                try:
                    for warning in entry.read().warnings:
                        findings.append({"where": entry.key, "level": "warning", "what": warning})
                except BadInput as error:
                    findings.append({"where": entry.key, "level": "error", "what": str(error)})
                advance()
    if as_json:
        typer.echo(json.dumps(findings, indent=2))
    else:
        for finding in findings:
            typer.echo(f"{finding['level']}: {finding['where']}: {finding['what']}")
        if not findings:
            typer.echo(f"{what}: nothing wrong found")
    if any(finding["level"] == "error" for finding in findings):
        raise typer.Exit(2)
