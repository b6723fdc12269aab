"""`marquee report`: write the report of the last search."""

from experiments.config import Params
from pipelines.support.console import get_console
from pipelines.support.search_report import write_search_report


def write_report(params: Params) -> None:
    """Write reports/search.html and its figures, and print the path of the report."""
    path, *_ = write_search_report(params)
    get_console().print(f"Wrote {path}")
