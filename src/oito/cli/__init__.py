"""The terminal: every action as a sub-command, from the same description as its route and form."""

from oito.cli.main import main

__all__ = ["main"]
