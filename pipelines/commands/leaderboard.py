"""`marquee leaderboard`: print the trials of the last search."""

from experiments.config import Params
from pipelines.support.console import get_console
from pipelines.support.leaderboard import build_leaderboard, build_markdown_leaderboard


def print_leaderboard(params: Params, *, markdown: bool) -> None:
    """Print all trials, best first, as a table for the terminal or in Markdown."""
    console = get_console()
    if markdown:
        console.print(build_markdown_leaderboard(params), markup=False)
    else:
        console.print(build_leaderboard(params, width=console.width))
