"""Report of the last search, reports/search.html, and its figures as files for `dvc plots`."""

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.config import Params
from experiments.figures import draw_figures
from experiments.figures.parameter_space import varied_parameters
from experiments.figures.style import to_standalone_svg, to_svg_element
from experiments.report.page import ReportContext, render_report
from experiments.search.importance import parameter_importances
from experiments.selection.search_results import SearchResults
from marquee.algorithms.registry import find_algorithm
from marquee.seeds import seed_for
from pipelines.support.fetched_source import read_data_version
from pipelines.support.json_reader import read_json
from pipelines.support.paths import FIGURES, REPORT, SELECTION
from pipelines.support.provenance import digest_search_results, get_git_commit
from pipelines.support.stage_results import read_champion_score, read_test_scores, read_trials_and_metrics

LIBRARIES = ("marquee", "numpy", "numba", "scikit-surprise", "optuna")  # whose versions the report states


def write_html_report(params: Params) -> list[Path]:
    """Write the report and its figures; return their paths, the report first."""
    results = read_trials_and_metrics(params)
    selection = read_json(SELECTION)
    winner = results.trials_by_number[selection["recommender"]["trial"]]
    figures = {
        name: to_svg_element(figure) if figure else None
        for name, figure in draw_figures(results, winner, _compute_importances(params, results)).items()
    }
    context = ReportContext(
        read_data_version().source,
        " ".join(selection[role]["reason"] for role in ("recommender", "predictor") if selection[role]),
        _collect_facts(params),
        list(_build_test_rows()),
    )
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(render_report(results, winner, context, figures), encoding="utf-8")
    return [REPORT, *_write_figures(figures)]


def _write_figures(figures: Mapping[str, str | None]) -> Iterator[Path]:
    """Write the figures that exist and yield their paths; delete leftover files of the other figures."""
    FIGURES.mkdir(exist_ok=True)
    for name, svg in figures.items():
        path = FIGURES / f"{name}.svg"
        if svg is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(to_standalone_svg(svg), encoding="utf-8")
            yield path


def _compute_importances(params: Params, results: SearchResults) -> dict[str, dict[str, float]]:
    """Return the importance of each parameter for every candidate with more than one searched parameter."""
    importances = {}
    for leader in results.ranked_candidates:
        trials = [trial for trial in results.trials if trial.algorithm == leader.algorithm and trial.folds]
        names = varied_parameters(trials)
        if len(names) > 1:
            seed = seed_for(params.seed, "importance", leader.algorithm)
            title = results.best_trial(leader).algorithm_title
            importances[title] = parameter_importances(trials, names, results.metric, seed)
    return importances


def _build_test_rows() -> Iterator[dict[str, Any]]:
    """Yield the test-set scores of the selected models, of references, and of a champion if there was one."""
    scores = read_test_scores()
    for role, score in scores.items():
        title = find_algorithm(score["algorithm"]).title
        is_selected = role in ("recommender", "predictor")
        yield {"model": f"{title} ({role})" if is_selected else title, **score}
    if champion := read_champion_score():
        yield {"model": f"champion, version {champion['version']}, refitted", **champion}


def _collect_facts(params: Params) -> dict[str, str]:
    """Return the settings and versions for the footer of the report."""
    data = read_data_version()
    return {
        "data": f"{data.source}, digest {data.digest}",
        "commit": get_git_commit() or "not in git",
        "search": f"{params.search.sampler}, {params.split.folds} folds, seed {params.seed}",
        "search results": f"digest {digest_search_results()}",
        "split": f"{params.split.strategy}, {params.split.test_share:.0%} held out for the test",
        "chosen by": f"{params.select.objective}, rule {params.select.rule}",
        "versions": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }
