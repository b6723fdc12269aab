"""The terminal, one way for all commands: words wrap on a screen, and lines stay whole in a log."""

import sys

from rich.console import Console


def screen() -> Console:
    """Standard output for a person."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())
