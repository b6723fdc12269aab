"""`marquee leaderboard`: print the trials of the last search."""

from experiments.config import Params
from pipelines.support.console import create_console
from pipelines.support.trial_leaderboard import build_markdown_leaderboard, build_trial_leaderboard


def print_trial_leaderboard(params: Params, *, markdown: bool) -> None:
    """Print all trials, best first, as a table for the terminal or in Markdown."""
    console = create_console()
    if markdown:
        console.print(build_markdown_leaderboard(params), markup=False)
    else:
        console.print(build_trial_leaderboard(params, width=console.width))
