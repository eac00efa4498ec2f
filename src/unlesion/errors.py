"""The errors that users meet: one line that says what, where, and what to do."""

from __future__ import annotations


class UnlesionError(Exception):
    """An error with a message for people; the command line prints it without a traceback.

    The message is one line: what is wrong, where (a path, a column, a setting), and what to do.
    """

    exit_code = 1


class BadInput(UnlesionError):
    """Something the user handed in cannot be used: a file, a folder, a manifest, a setting."""

    exit_code = 2


def in_words(key: str, error: Exception) -> str:
    """What went wrong with a scan, in one line that names it; what is no `UnlesionError` is a failure of ours."""
    if isinstance(error, UnlesionError):
        return str(error)
    return f"{key}: a failure of ours: {type(error).__name__}: {' '.join(str(error).split())}"
