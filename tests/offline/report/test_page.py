"""The report is one file that needs nothing else, holds every figure, and escapes what it did not write."""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import yaml
from matplotlib.figure import Figure

from experiments.figures import figures_of
from experiments.figures.curves import learning_curves
from experiments.figures.leakage import leakage
from experiments.figures.parameter_space import parallel_coordinates, varied
from experiments.figures.pareto import front
from experiments.figures.style import FAINT, INK, drawn, spread, standalone, to_svg
from experiments.report.page import Told, render
from experiments.search.importance import importances
from experiments.selection.search_results import Findings
from pipelines.support.paths import FIGURES
from tests.support.search_results import findings

ROOT = Path(__file__).parents[3]

TOLD = Told(
    "demo <x>", "It wins because of 1 < 2.", {"commit": "abc"},
    [{"model": "SVD++ (winner)", "rmse": 0.85, "mae": 0.66}],
)  # fmt: skip


class Reader(HTMLParser):
    """What a page opens and never closes, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.figures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.figures += tag == "svg"
        self.fetched += [
            f"{tag} {k}={v}"
            for k, v in attrs
            if k in {"src", "href", "srcset", "xlink:href"} and not str(v).startswith(("#", "data:"))
        ]
        if tag not in {"meta", "link", "br", "img", "input", "hr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@cache
def whole_page() -> str:
    return page()


def page(**changes: object) -> str:
    found = replace(findings(), **changes)  # type: ignore[arg-type]
    drawn_figures = figures(found).items()
    return render(
        found, found.by_number[4], TOLD, {name: to_svg(one) if one else None for name, one in drawn_figures}
    )


def figures(found: Findings) -> Mapping[str, Figure | None]:
    return figures_of(found, found.by_number[4], {"SVD": {"n_factors": 0.9, "reg_all": 0.1}})


def test_dvc_shows_every_figure() -> None:
    shown = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["plots"]
    assert {Path(plot) for plot in shown} == {FIGURES / f"{name}.svg" for name in figures(findings())}


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def test_it_is_whole_and_fetches_nothing() -> None:
    html = whole_page()
    assert read(html).fetched == []
    assert not re.search(r"@import|url\((?!#)", html)


def test_it_holds_every_figure_in_the_colours_of_the_page() -> None:
    html = whole_page()
    assert read(html).figures == 6
    assert INK not in html
    assert FAINT not in html


def test_it_escapes_what_it_did_not_write() -> None:
    html = whole_page()
    assert "<b>no</b>" not in html
    assert "demo &lt;x&gt;" in html
    assert "1 &lt; 2." in html


def test_it_tells_of_every_candidate_and_marks_the_chosen() -> None:
    html = whole_page()
    for title in ("SVD++", "SVD", "Baseline", "Random", "NMF"):
        assert title in html
    assert html.count('<tr class="chosen">') == 1


def test_without_timestamps_it_says_why_there_is_no_leakage_meter() -> None:
    found = findings()
    measured = {n: replace(one, across_time=None) for n, one in found.measured.items()}
    html = page(measured=measured, leakage=None)
    assert "the ratings have no timestamps" in html
    assert read(html).figures == 5


def test_without_costs_it_says_that_they_are_not_known_here() -> None:
    found = findings()
    html = page(measured={n: replace(one, cost=None) for n, one in found.measured.items()})
    assert "was measured on another machine" in html
    read(html)


def test_the_front_is_of_those_that_nobody_beats_in_both() -> None:
    assert front([(3, 0.8), (1, 0.9), (2, 0.95), (4, 0.8)]) == [(1, 0.9), (3, 0.8)]


def test_labels_keep_their_order_and_their_distance() -> None:
    placed = spread([1.0, 1.01, 5.0, 0.99], 0.5)
    assert placed[3] < placed[0] < placed[1] < placed[2] == 5.0
    assert all(b - a > 0.499 for a, b in zip(sorted(placed), sorted(placed)[1:], strict=False))


def test_the_same_findings_give_the_same_bytes() -> None:
    assert page() == whole_page()


def test_what_cannot_be_drawn_is_left_out() -> None:
    found = findings()
    bare = {n: replace(one, curve=(), across_time=None) for n, one in found.measured.items()}
    assert learning_curves(replace(found, measured=bare)) is None
    assert leakage(replace(found, measured=bare)) is None
    assert parallel_coordinates(replace(found, trials=found.trials[:3])) is None


def test_nobody_measured_leaves_a_page_without_their_tables() -> None:
    read(page(measured={}, leakage=None))


def test_an_svg_takes_the_width_of_its_place() -> None:
    with drawn():
        figure = Figure()
        figure.add_subplot().set_title("a < b")
    svg = to_svg(figure)
    assert svg.startswith("<svg")
    assert not re.search(r"<svg[^>]* (width|height)=", svg)
    assert "viewBox" in svg


def test_an_svg_file_brings_its_colours_for_light_and_for_dark() -> None:
    with drawn():
        svg = to_svg(Figure())
    file = standalone(svg)
    assert file.startswith("<svg")
    assert set(re.findall(r"var\((--[a-z]+)\)", file)) <= set(re.findall(r"(--[a-z]+):", file))
    assert "prefers-color-scheme:dark" in file


def test_the_parameter_that_makes_the_difference_is_the_important_one() -> None:
    trials = [t for t in findings().trials if t.algorithm == "svd"]
    assert varied(trials) == ["n_factors", "reg_all"]
    strong = [
        replace(t, folds=tuple(replace(f, rmse=1.0 + t.parameters["reg_all"]) for f in t.folds))
        for t in trials
    ]
    shares = importances(strong, ["n_factors", "reg_all"], "rmse", 0)
    assert next(iter(shares)) == "reg_all"
    assert shares["reg_all"] > 0.9
    assert importances(strong[:3], ["n_factors"], "rmse", 0) == {}
    level = [replace(t, folds=trials[0].folds) for t in trials]
    assert importances(level, ["n_factors", "reg_all"], "rmse", 0) == {}
