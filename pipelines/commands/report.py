"""`marquee report`: write the report of the last search."""

from experiments.config import Params
from pipelines.support.console import create_console
from pipelines.support.html_report import write_html_report


def write_report(params: Params) -> None:
    """Write reports/search.html and its figures, and print the path of the report."""
    path, *_ = write_html_report(params)
    create_console().print(f"Wrote {path}")
