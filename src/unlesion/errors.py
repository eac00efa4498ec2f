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
