"""Report page: a single file that loads nothing else, contains every figure and escapes all values."""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import yaml
from matplotlib.figure import Figure

from experiments.figures import draw_figures
from experiments.figures.leakage import plot_leakage
from experiments.figures.learning_curves import plot_learning_curves
from experiments.figures.parameter_space import plot_parallel_coordinates, varied_parameters
from experiments.figures.pareto import pareto_front
from experiments.figures.style import (
    FAINT,
    INK,
    figure_style,
    spread_labels,
    to_standalone_svg,
    to_svg_element,
)
from experiments.report.page import ReportContext, render_report
from experiments.search.importance import parameter_importances
from experiments.selection.search_results import SearchResults
from pipelines.support.paths import FIGURES
from tests.support.sample_search_results import make_search_results

ROOT = Path(__file__).parents[3]

CONTEXT = ReportContext(
    "demo <x>", "It wins because of 1 < 2.", {"commit": "abc"},
    [{"model": "SVD++ (winner)", "rmse": 0.85, "mae": 0.66}],
)  # fmt: skip


class PageParser(HTMLParser):
    """Parser that collects unclosed elements and external references, and counts the figures."""

    def __init__(self) -> None:
        super().__init__()
        self.open_tags: list[str] = []
        self.external_references: list[str] = []
        self.n_figures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.n_figures += tag == "svg"
        self.external_references += [
            f"{tag} {name}={value}"
            for name, value in attrs
            if name in {"src", "href", "srcset", "xlink:href"} and not str(value).startswith(("#", "data:"))
        ]
        if tag not in {"meta", "link", "br", "img", "input", "hr"}:
            self.open_tags.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open_tags.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag


@cache
def complete_page() -> str:
    """Return the page of complete search results."""
    return render_page()


def render_page(**changes: object) -> str:
    """Return the page of search results with changed fields."""
    results = replace(make_search_results(), **changes)  # type: ignore[arg-type]
    drawn_figures = draw_sample_figures(results).items()
    return render_report(
        results,
        results.trials_by_number[4],
        CONTEXT,
        {name: to_svg_element(figure) if figure else None for name, figure in drawn_figures},
    )


def draw_sample_figures(results: SearchResults) -> Mapping[str, Figure | None]:
    return draw_figures(results, results.trials_by_number[4], {"SVD": {"n_factors": 0.9, "reg_all": 0.1}})


def test_dvc_plots_every_figure() -> None:
    shown = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    assert {Path(plot) for plot in shown} == {
        FIGURES / f"{name}.svg" for name in draw_sample_figures(make_search_results())
    }


def parse_page(html: str) -> PageParser:
    """Parse a page, whose elements must all be closed."""
    parser = PageParser()
    parser.feed(html)
    assert parser.open_tags == []
    return parser


def test_page_is_well_formed_and_has_no_external_references() -> None:
    html = complete_page()
    assert parse_page(html).external_references == []
    assert not re.search(r"@import|url\((?!#)", html)


def test_page_contains_every_figure_in_its_own_colors() -> None:
    html = complete_page()
    assert parse_page(html).n_figures == 6
    assert INK not in html
    assert FAINT not in html


def test_values_are_escaped() -> None:
    html = complete_page()
    assert "<b>no</b>" not in html
    assert "demo &lt;x&gt;" in html
    assert "1 &lt; 2." in html


def test_every_candidate_is_listed_and_the_winner_marked() -> None:
    html = complete_page()
    for title in ("SVD++", "SVD", "Baseline", "Random", "NMF"):
        assert title in html
    assert html.count('<tr class="chosen">') == 1


def test_page_without_timestamps_says_why_leakage_is_missing() -> None:
    results = make_search_results()
    candidates = {
        number: replace(candidate, split_comparison=None) for number, candidate in results.candidates.items()
    }
    html = render_page(candidates=candidates, leakage=None)
    assert "the ratings have no timestamps" in html
    assert parse_page(html).n_figures == 5


def test_page_says_that_unknown_costs_are_from_another_machine() -> None:
    results = make_search_results()
    html = render_page(
        candidates={number: replace(candidate, cost=None) for number, candidate in results.candidates.items()}
    )
    assert "was measured on another machine" in html
    parse_page(html)


def test_pareto_front_has_the_points_that_no_other_dominates() -> None:
    assert pareto_front([(3, 0.8), (1, 0.9), (2, 0.95), (4, 0.8)]) == [(1, 0.9), (3, 0.8)]


def test_spread_labels_keep_their_order_and_a_minimum_gap() -> None:
    placed = spread_labels([1.0, 1.01, 5.0, 0.99], 0.5)
    assert placed[3] < placed[0] < placed[1] < placed[2] == 5.0
    assert all(b - a > 0.499 for a, b in zip(sorted(placed), sorted(placed)[1:], strict=False))


def test_equal_results_give_the_same_page() -> None:
    assert render_page() == complete_page()


def test_figures_without_data_are_left_out() -> None:
    results = make_search_results()
    without_curves_and_splits = {
        number: replace(candidate, learning_curve=(), split_comparison=None)
        for number, candidate in results.candidates.items()
    }
    assert plot_learning_curves(replace(results, candidates=without_curves_and_splits)) is None
    assert plot_leakage(replace(results, candidates=without_curves_and_splits)) is None
    assert plot_parallel_coordinates(replace(results, trials=results.trials[:3])) is None


def test_page_without_evaluated_candidates_is_well_formed() -> None:
    parse_page(render_page(candidates={}, leakage=None))


def test_svg_element_has_no_fixed_width() -> None:
    with figure_style():
        figure = Figure()
        figure.add_subplot().set_title("a < b")
    svg = to_svg_element(figure)
    assert svg.startswith("<svg")
    assert not re.search(r"<svg[^>]* (width|height)=", svg)
    assert "viewBox" in svg


def test_svg_file_defines_its_colors_for_light_and_dark_themes() -> None:
    with figure_style():
        svg = to_svg_element(Figure())
    file = to_standalone_svg(svg)
    assert file.startswith("<svg")
    assert set(re.findall(r"var\((--[a-z]+)\)", file)) <= set(re.findall(r"(--[a-z]+):", file))
    assert "prefers-color-scheme:dark" in file


def test_parameter_that_determines_the_error_is_most_important() -> None:
    trials = [trial for trial in make_search_results().trials if trial.algorithm == "svd"]
    assert varied_parameters(trials) == ["n_factors", "reg_all"]
    trials_with_error_from_reg_all = [
        replace(
            trial,
            folds=tuple(replace(fold, rmse=1.0 + trial.parameters["reg_all"]) for fold in trial.folds),
        )
        for trial in trials
    ]
    shares = parameter_importances(trials_with_error_from_reg_all, ["n_factors", "reg_all"], "rmse", 0)
    assert next(iter(shares)) == "reg_all"
    assert shares["reg_all"] > 0.9
    assert parameter_importances(trials_with_error_from_reg_all[:3], ["n_factors"], "rmse", 0) == {}
    tied = [replace(trial, folds=trials[0].folds) for trial in trials]
    assert parameter_importances(tied, ["n_factors", "reg_all"], "rmse", 0) == {}
