"""What a verb says: lines on standard error, the same lines with times in a log file."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path

from unlesion import __version__
from unlesion.errors import UnlesionError
from unlesion.files import cannot_write
from unlesion.progress import Bars, shown, silent

_log = logging.getLogger("unlesion")


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
        _log.warning(message)
        print(f"warning: {' '.join(message.split())}", file=sys.stderr, flush=True)

    def _open(self, out: Path) -> None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            handler = logging.FileHandler(out / "unlesion.log", encoding="utf-8")
        except OSError as error:
            raise cannot_write(out, error) from error
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        for old in list(_log.handlers):
            _log.removeHandler(old)
            old.close()
        _log.addHandler(handler)
        _log.setLevel(logging.INFO)
        _log.propagate = False
        words = " ".join(shlex.quote(word) for word in sys.argv[1:])
        _log.info("unlesion %s: %s", __version__, words)


def log_traceback() -> None:
    """Put the traceback of the current exception into the log file, if one is open."""
    if _log.handlers and not isinstance(sys.exc_info()[1], UnlesionError):
        _log.exception("failure")
