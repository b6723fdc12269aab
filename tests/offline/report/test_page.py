"""Report page: a single file that loads nothing else, contains every figure and escapes all values."""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import patch

import yaml
from matplotlib.figure import Figure

from experiments.figures import draw_figures
from experiments.figures.leakage import plot_leakage
from experiments.figures.learning_curves import plot_learning_curves
from experiments.figures.parameter_space import plot_parallel_coordinates, varied_parameters
from experiments.figures.pareto import pareto_front, plot_pareto
from experiments.figures.segments import plot_segments
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
from experiments.search.trials import Trial
from experiments.search.user_scores import UserColumns
from experiments.selection.list_comparison import Selection
from experiments.selection.search_results import SearchResults
from pipelines.support.paths import FIGURES
from tests.support.sample_search_results import (
    COLUMNS,
    drop_early,
    make_candidate_metrics,
    make_evaluation,
    make_gain,
    make_implicit_evaluation,
    make_implicit_results,
    make_part,
    make_score,
    make_search_results,
    make_selection,
    make_split,
)

ROOT = Path(__file__).parents[3]

CONTEXT = ReportContext(
    "demo <x>",
    {"recommender": "EASE leads because of 1 < 2.", "predictor": "SVD++ has the lowest error."},
    {"commit": "abc"},
    make_evaluation(),
    make_split(),
)
IMPLICIT_CONTEXT = replace(
    CONTEXT, reasons={"recommender": "EASE leads."}, evaluation=make_implicit_evaluation()
)


FIGURE_NAMES = ("pareto", "recommender_losses", "learning_curves", "segments", "leakage", "importance")
NO_FIGURES: Mapping[str, str | None] = dict.fromkeys((*FIGURE_NAMES, "parallel_coordinates"))


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
    """Return the page of complete search results, with all figures."""
    return render_with_figures(make_search_results(), CONTEXT)


@cache
def implicit_page() -> str:
    """Return the page of a search on implicit feedback."""
    return render_with_figures(make_implicit_results(), IMPLICIT_CONTEXT, predictor=None)


def render_page(context: ReportContext = CONTEXT, **changes: object) -> str:
    """Return the page of search results with changed fields, without figures, which take a second."""
    results = replace(make_search_results(), **changes)  # type: ignore[arg-type]
    return render_report(results, make_selection(results), context, NO_FIGURES)


def render_with_figures(results: SearchResults, context: ReportContext, predictor: int | None = 4) -> str:
    selection = make_selection(results, predictor)
    drawn_figures = draw_sample_figures(results, selection).items()
    elements = {name: to_svg_element(figure) if figure else None for name, figure in drawn_figures}
    return render_report(results, selection, context, elements)


def draw_sample_figures(results: SearchResults, selection: Selection) -> Mapping[str, Figure | None]:
    return draw_figures(results, selection, {"SVD": {"n_factors": 0.9, "reg_all": 0.1}})


def find_tables(html: str) -> list[str]:
    return re.findall(r"<table.*?</table>", html, re.DOTALL)


def test_dvc_plots_every_figure() -> None:
    results = make_search_results()
    shown = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    assert {Path(plot) for plot in shown} == {
        FIGURES / f"{name}.svg" for name in draw_sample_figures(results, make_selection(results))
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
    assert parse_page(html).n_figures == 7
    assert INK not in html
    assert FAINT not in html


def test_values_are_escaped() -> None:
    html = complete_page()
    assert "<b>no</b>" not in html
    assert "demo &lt;x&gt;" in html
    assert "1 &lt; 2." in html


def test_every_candidate_is_listed_and_both_roles_are_marked() -> None:
    html = complete_page()
    for title in ("EASE", "Popularity", "SVD++", "SVD", "Baseline", "Random", "NMF"):
        assert title in html
    summary, test, lists, errors, *_ = find_tables(html)
    assert "<th>recommender</th><th>predictor</th>" in summary
    assert re.findall(r'<td>(\S+)<span class="role">(\w+)', lists) == [
        ("EASE", "recommender"),
        ("SVD++", "predictor"),
    ]
    assert re.findall(r'<td>(\S+)<span class="role">(\w+)', errors) == [("SVD++", "predictor")]
    assert "0.3200" in test


def test_summary_shows_both_roles_with_the_split_of_every_number() -> None:
    (summary, *_) = find_tables(complete_page())
    cells = [re.findall(r"<t[dh][^>]*>([^<]*)", row) for row in summary.split("<tr")[2:]]
    rows = {title: tuple(values) for title, *values in cells}
    assert rows["algorithm"] == ("EASE", "SVD++")
    assert rows["NDCG@10, test part"] == ("0.3200", "0.0500")
    assert rows["relative to popularity, test part"] == ("2.00 times", "0.31 times")
    assert rows["NDCG@10, validation parts"] == ("0.3000", "0.0400")
    assert rows["RMSE, 3 folds"] == ("", "0.8600")
    assert summary.count("not comparable with the test part") == 3
    assert all(re.search("test part|validation parts|folds", title) for title in rows if title.isupper())


def test_one_trial_in_both_roles_has_one_column() -> None:
    results = make_search_results()
    selection = replace(make_selection(results), recommender=results.trials_by_number[4])
    html = render_report(results, selection, CONTEXT, NO_FIGURES)
    assert "<th>recommender and predictor</th>" in find_tables(html)[0]
    assert "SVD++ was chosen on demo &lt;x&gt;, for lists and ratings" in html


def test_page_of_implicit_feedback_has_no_errors() -> None:
    html = implicit_page()
    parse_page(html)
    assert "EASE was chosen on demo" in html
    assert not re.search(r"RMSE|MAE|rating|in stars|impossible|prediction|folds", strip_style(html))
    assert "graded NDCG@10" in html


def strip_style(html: str) -> str:
    return re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


def test_rows_below_popularity_and_random_are_marked() -> None:
    lists = find_tables(complete_page())[2]
    remarks = dict(
        re.findall(r"<td>([^<]+)(?:<span[^>]*>[^<]*</span>)?<small class=\"remark\">([^<]+)", lists)
    )
    assert remarks == {
        "Popularity": "not personal",
        **dict.fromkeys(("SVD", "SVD++", "Baseline", "Random"), "below popularity"),
    }


def test_best_value_of_a_column_beats_popularity() -> None:
    """Random has the highest coverage, but its lists are worse than the simplest ones."""
    results = make_search_results()
    second = make_candidate_metrics(results.trials_by_number[9], 0.28, 0.2)
    html = render_page(candidates={**results.candidates, 9: replace(second, algorithm="implicit_als")})
    assert 'class="best">100.0%' not in html
    assert 'class="best">25.0%' not in complete_page(), "the only row above popularity is no best one"


def test_difference_that_may_be_chance_is_marked() -> None:
    """With fewer than 200 users, every difference of lists may be chance."""
    results = make_search_results()
    few = [
        replace(trial, parts=tuple(make_part(part.user_values["ndcg"][:100]) for part in trial.parts))
        for trial in results.trials
    ]
    lists = find_tables(complete_page())[2]
    assert "may be chance" not in lists
    columns = UserColumns(tuple(users[:100] for users in COLUMNS.users_by_part))
    with patch("tests.support.sample_search_results.COLUMNS", columns):
        lists = find_tables(render_page(trials=few))[2]
    assert lists.count("may be chance") == 5


def test_trial_that_was_dropped_early_has_no_interval() -> None:
    results = make_search_results()
    trials = [drop_early(trial) if trial.number in (4, 10) else trial for trial in results.trials]
    lists = find_tables(render_page(trials=trials))[2]
    row = next(row for row in lists.split("<tr") if ">SVD++" in row)
    assert "dropped early" in row
    assert "9.0 standard errors" in row
    assert " to " not in row


def test_warnings_are_the_first_line() -> None:
    losing = {**make_evaluation()["scores"]["recommender"], "ndcg": 0.15, "popularity_gain": -0.01}
    losing |= {"popularity_gain_low": -0.02, "popularity_gain_high": 0.01}
    html = render_page(replace(CONTEXT, evaluation=make_evaluation(recommender=losing)))
    assert re.search(r"<main>\s*<div class=\"warning\"><p>Test part: The lists of EASE are not shown", html)
    assert '<div class="warning">' not in complete_page()


def test_page_says_how_often_the_test_part_was_used() -> None:
    assert "No other choice was scored on this test part" in complete_page()
    assert "3 different choices were scored" in render_page(replace(CONTEXT, n_looks=3))


def test_champion_is_a_row_of_the_test_part() -> None:
    champion = {"version": 7, "ndcg": 0.33, "ndcg_low": 0.31, "ndcg_high": 0.35, "rmse": 0.84}
    champion |= make_gain("recommender", 0.01)
    test = find_tables(render_page(replace(CONTEXT, champion=champion)))[1]
    (row,) = [row for row in test.split("<tr") if "champion" in row]
    assert "champion, version 7, refitted" in row
    assert "difference from the recommender may be chance" in row


def test_popularity_is_compared_with_the_recommender_by_user_although_intervals_overlap() -> None:
    for half_width, is_marked in ((0.005, False), (0.015, True)):
        popularity = {**make_score("popularity", 0.31), **make_gain("recommender", -0.01, half_width)}
        evaluation = make_evaluation(popularity=popularity)
        test = find_tables(render_page(replace(CONTEXT, evaluation=evaluation)))[1]
        (row,) = [row for row in test.split("<tr") if ">Popularity" in row]
        assert ("difference from the recommender may be chance" in row) == is_marked


def test_page_without_timestamps_says_why_leakage_is_missing() -> None:
    results = make_search_results()
    candidates = {
        number: replace(candidate, split_comparison=None) for number, candidate in results.candidates.items()
    }
    html = render_page(candidates=candidates, leakage=None)
    assert "the interactions have no timestamps" in html
    parse_page(html)


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
    assert render_page() == render_page()
    assert render_with_figures(make_search_results(), CONTEXT) == complete_page()


def test_figures_without_data_are_left_out() -> None:
    results = make_search_results()
    without_curves_and_splits = {
        number: replace(candidate, learning_curve=(), split_comparison=None)
        for number, candidate in results.candidates.items()
    }
    assert plot_learning_curves(replace(results, candidates=without_curves_and_splits)) is None
    assert plot_leakage(replace(results, candidates=without_curves_and_splits)) is None
    few = replace(results, trials=results.trials[:3])
    assert plot_parallel_coordinates(few, make_selection(results)) is None


def test_page_without_measured_trials_is_well_formed() -> None:
    parse_page(render_page(candidates={}, leakage=None))


def test_page_of_a_search_by_error_is_well_formed() -> None:
    results = replace(
        make_search_results(),
        metric="rmse",
        trials=[replace(trial, parts=()) for trial in make_search_results().trials if trial.folds],
        candidates={number: each for number, each in make_search_results().candidates.items() if each.folds},
    )
    winner = results.trials_by_number[4]
    html = render_report(results, Selection(winner, winner), CONTEXT, NO_FIGURES)
    parse_page(html)
    assert "SVD++ was chosen" in html
    figures = draw_sample_figures(results, Selection(winner, winner))
    assert figures["recommender_losses"] is None
    assert figures["pareto"] is not None


def test_order_by_a_set_of_metrics_is_named() -> None:
    html = render_page(metric={"ndcg": 0.6, "coverage": 0.4})
    assert "The best trial of each algorithm by 0.6 NDCG@10, 0.4 coverage, measured on" in html
    assert "By 0.6 NDCG@10, 0.4 coverage on the validation parts, " in html


def test_pareto_figure_has_a_row_of_panels_for_lists_and_one_for_errors() -> None:
    explicit, implicit = make_search_results(), make_implicit_results()
    figure = plot_pareto(explicit, make_selection(explicit))
    assert figure is not None
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "Lists and time", "Lists and memory", "Predicted ratings and time", "Predicted ratings and memory",
    ]  # fmt: skip
    assert "Random  1.5000, out of view" in [
        text.get_text()
        for axes in figure.axes
        for legend in [axes.get_legend()]
        if legend
        for text in legend.texts
    ]
    without_ratings = plot_pareto(implicit, make_selection(implicit, None))
    assert without_ratings is not None
    assert len(without_ratings.axes) == 2


def test_figure_of_segments_has_no_errors_without_ratings() -> None:
    for results, predictor, n_panels in ((make_search_results(), 4, 4), (make_implicit_results(), None, 2)):
        figure = plot_segments(results, make_selection(results, predictor))
        assert figure is not None
        assert len(figure.axes) == n_panels


def test_figure_of_leakage_has_no_errors_without_ratings() -> None:
    for results, n_panels in ((make_search_results(), 3), (make_implicit_results(), 2)):
        figure = plot_leakage(results)
        assert figure is not None
        assert len(figure.axes) == n_panels


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


def test_members_of_blends_are_no_axis() -> None:
    blends = [
        Trial(number, "blend", {"members": [{"algorithm": "ease", "parameters": {}, "weight": weight}]})
        for number, weight in enumerate((1.0, 2.0))
    ]
    assert varied_parameters(blends) == []


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
