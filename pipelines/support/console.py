"""Terminal output of all stages and commands: the console, and how errors are printed."""

import sys
from typing import NoReturn

from rich.console import Console

from marquee.errors import MarqueeError

# Errors that the user can fix, such as a full disk or missing permissions, are printed as one line. Every
# other exception is a defect and keeps its traceback.
USER_ERRORS = (MarqueeError, OSError)
UNLIMITED_WIDTH = 10_000  # characters
INTERRUPTED_EXIT_CODE = 130  # 128 + SIGINT, as a shell reports it


def create_console(*, stderr: bool = False) -> Console:
    """Return a console for standard output, or for standard error if the output of the command is data.

    Lines wrap on a terminal, but not in a pipe or file.
    """
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNLIMITED_WIDTH
    return Console(file=stream, highlight=False, width=width)


def exit_with_error(program: str, error: Exception) -> NoReturn:
    """Print `program: message` to standard error and exit with the error's own exit code, or 1."""
    Console(stderr=True, highlight=False).print(f"[red]{program}:[/] ", end="")
    sys.stderr.write(f"{error}\n")  # not with rich, which would interpret brackets in the message as markup
    sys.exit(getattr(error, "exit_code", 1))
