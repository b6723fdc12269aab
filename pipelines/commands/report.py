"""`marquee report`: write the report of the last search."""

from experiments.config import Params
from pipelines.support.console import create_console
from pipelines.support.html_report import write_html_report
from pipelines.support.selected_trials import read_selection
from pipelines.support.stage_results import read_trials_and_metrics


def write_report(params: Params) -> None:
    """Write reports/search.html and its figures, and print the path of the report."""
    results = read_trials_and_metrics(params)
    path, *_ = write_html_report(params, results, read_selection(params, results))
    create_console().print(f"Wrote {path}")
