"""The `unlesion` command: verbs, and errors in one line."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Any

import typer

from unlesion import __version__
from unlesion.cli import (
    align,
    bench,
    calibrate,
    compare,
    demo,
    detect,
    doctor,
    evaluate,
    manifest,
    methods,
    phantom,
    prepare,
    report,
    train,
)
from unlesion.cli.console import close_log, command_line, complain, log_traceback
from unlesion.cli.options import separate_settings
from unlesion.errors import UnlesionError

KEPT = "interrupted; what was finished is kept (train, bench: go on with --resume; detect, prepare, align: the same again)"

# The shell's code for a program that Ctrl-C ended; typer gives it instead of the exception.
INTERRUPTED = 130

NOTICE = "For research use only; not a medical device."

app = typer.Typer(
    name="unlesion",
    help=f"Unsupervised anomaly detection in medical images: learn what is healthy, show what is not. {NOTICE}",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

for verb in (
    demo,
    methods,
    phantom,
    manifest,
    align,
    prepare,
    train,
    calibrate,
    detect,
    evaluate,
    compare,
    bench,
    report,
    doctor,
):
    app.command(name=verb.__name__.rpartition(".")[2])(verb.command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 well, 2 bad input, 1 a failure of ours, 130 interrupted."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command_line(arguments)
    close_log()
    arguments = separate_settings(arguments)
    try:
        code = app(args=arguments, standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return int(code) if isinstance(code, int) else 0
    except UnlesionError as error:
        complain(str(error))
        return error.exit_code
    except typer.Exit as stop:
        if stop.exit_code == INTERRUPTED:
            complain(KEPT)
        return int(stop.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        complain(KEPT)
        return INTERRUPTED
    except Exception as error:
        if _is_usage_error(error):
            if type(error).__name__ == "NoArgsIsHelpError":
                # Nothing at all was asked for: the message is the help.
                error.show()  # type: ignore[attr-defined]
            else:
                complain(_usage_complaint(error, arguments))
            return 2
        log_traceback()
        if os.environ.get("UNLESION_DEBUG"):
            traceback.print_exc()
        complain(
            f"a failure of ours: {type(error).__name__}: {error}; "
            "please report it with the log file (UNLESION_DEBUG=1 shows where it happened)"
        )
        return 1


def _is_usage_error(error: Exception) -> bool:
    """Whether the command line itself was wrong; typer may carry its own copy of click."""
    return any(kind.__name__ == "ClickException" for kind in type(error).__mro__)


def _usage_complaint(error: Any, arguments: list[str]) -> str:
    """In one line what is wrong with the command line, and where it is written how it should be."""
    verbs: list[str] = []
    context = getattr(error, "ctx", None)
    while context is not None and context.parent is not None:
        verbs.insert(0, str(context.info_name))
        context = context.parent
    if not verbs and arguments[0] in {command.name for command in app.registered_commands}:
        # An option that lacks its value is noticed before anybody knows whose it is.
        verbs = [arguments[0]]
    said = str(error.format_message()).strip().rstrip(".")
    see = " See" if said.endswith("?") else "; see"
    return f"{said[:1].lower()}{said[1:]}{see} `{' '.join(['unlesion', *verbs, '--help'])}`"
