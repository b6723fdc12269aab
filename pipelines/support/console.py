"""The terminal, one way for all commands: what is printed, and how an error is said."""

import sys
from typing import NoReturn

from rich.console import Console

from marquee.errors import MarqueeError

# A full disk or a folder without rights is a person's to mend, as our own errors are. Anything
# else is a defect, and its traceback is what the developer needs.
MENDABLE = (MarqueeError, OSError)


def screen() -> Console:
    """Standard output for a person: words wrap on a screen, and lines stay whole in a log."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def give_up(who: str, error: Exception) -> NoReturn:
    """End with one line that says what is wrong, and the error's own exit code."""
    Console(stderr=True, highlight=False).print(f"[red]{who}:[/] ", end="")
    sys.stderr.write(f"{error}\n")  # as it is: brackets in it are no markup
    sys.exit(getattr(error, "exit_code", 1))
