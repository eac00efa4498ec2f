"""What a verb says: lines on standard error, the same lines with times in a log file."""

from __future__ import annotations

import logging
import shlex
import sys
from contextlib import suppress
from pathlib import Path

from unlesion import __version__
from unlesion.errors import UnlesionError
from unlesion.files import cannot_write
from unlesion.progress import Bars, shown, silent

LOG = "unlesion.log"

_log = logging.getLogger("unlesion")

# The words after `unlesion`, set once a command runs.
_words: list[str] = []


def command_line(words: list[str] | None = None) -> str:
    """The command as one types it; `words` sets what it is from now on."""
    if words is not None:
        _words[:] = words
    return shlex.join(["unlesion", *_words])


class _LogFile(logging.FileHandler):
    """A log that gives up where it cannot be written, such as on a full disk: the command itself says so, and once is enough."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()

    def close(self) -> None:
        with suppress(OSError):
            super().close()


class Console:
    """Talks to the user of one command.

    Args:
        quiet: say only what went wrong.
        out: folder that gets `unlesion.log`; None writes no log.
    """

    def __init__(self, *, quiet: bool, out: Path | None = None) -> None:
        self.quiet = quiet
        self.bars: Bars = silent if quiet else shown
        if out is not None:
            self._open(out)

    def tell(self, message: str) -> None:
        """Say something worth knowing."""
        _log.info(message)
        if not self.quiet:
            print(message, file=sys.stderr, flush=True)

    def warn(self, message: str) -> None:
        """Say that something is wrong but the rest goes on; `--quiet` does not hide it."""
        # Without a handler logging would print it, too.
        if _log.handlers:
            _log.warning(message)
        print(f"warning: {' '.join(message.split())}", file=sys.stderr, flush=True)

    def _open(self, out: Path) -> None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            handler = _LogFile(out / LOG, encoding="utf-8")
        except OSError as error:
            raise cannot_write(out, error) from error
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        close_log()
        _log.addHandler(handler)
        _log.setLevel(logging.INFO)
        _log.propagate = False
        _log.info("version %s: %s", __version__, command_line())


def complain(message: str) -> None:
    """Say why a command ends without success, in one line; the log file says it too, if one is open."""
    line = " ".join(message.split())
    print(f"unlesion: {line}", file=sys.stderr)
    if _log.handlers:
        _log.error("%s", line)


def close_log() -> None:
    """End the log file: what comes next belongs to another command."""
    for handler in list(_log.handlers):
        _log.removeHandler(handler)
        handler.close()


def log_traceback() -> None:
    """Put the traceback of the current exception into the log file, if one is open."""
    if _log.handlers and not isinstance(sys.exc_info()[1], UnlesionError):
        _log.exception("failure")
