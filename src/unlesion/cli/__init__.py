"""The command line: one file a verb, nothing heavy imported before a verb runs."""

from unlesion.cli.app import app, main

__all__ = ["app", "main"]
