"""Report of the last search, reports/search.html, and its figures as files for `dvc plots`."""

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from experiments.config import Params
from experiments.figures import draw_figures
from experiments.figures.parameter_space import varied_parameters
from experiments.figures.style import to_standalone_svg, to_svg_element
from experiments.report.page import ReportContext, render_report
from experiments.search.importance import parameter_importances
from experiments.selection.list_comparison import Selection
from experiments.selection.search_results import SearchResults
from marquee.seeds import seed_for
from pipelines.support.fetched_source import read_data_version
from pipelines.support.json_reader import read_json
from pipelines.support.paths import EVALUATION, FEEDBACK, FIGURES, REPORT, SELECTION, SPLIT
from pipelines.support.provenance import digest_search_results, get_git_commit
from pipelines.support.stage_results import read_champion_score
from pipelines.support.test_looks import count_test_looks

LIBRARIES = ("marquee", "numpy", "numba", "scikit-surprise", "optuna")  # whose versions the report states


def write_html_report(params: Params, results: SearchResults, selection: Selection) -> list[Path]:
    """Write the report and its figures; return their paths, the report first."""
    figures = {
        name: to_svg_element(figure) if figure else None
        for name, figure in draw_figures(
            results, selection, _compute_importances(params, results, selection)
        ).items()
    }
    record = read_json(SELECTION)
    context = ReportContext(
        read_data_version().source,
        {role: record[role]["reason"] for role in ("recommender", "predictor") if record[role]},
        _collect_facts(params),
        read_json(EVALUATION),
        read_json(SPLIT),
        read_champion_score(),
        count_test_looks(),
    )
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(render_report(results, selection, context, figures), encoding="utf-8")
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


def _compute_importances(
    params: Params, results: SearchResults, selection: Selection
) -> dict[str, dict[str, float]]:
    """Return the importance of each parameter for the lists and the errors of every algorithm."""
    scored = [trial for trial in results.trials if trial.failure is None]
    subjects = [(results.search_metric.list_metric, [trial for trial in scored if trial.parts])]
    if selection.predictor is not None:
        subjects.append((results.error, [trial for trial in scored if trial.folds]))
    importances = {}
    for metric, trials in subjects:
        for algorithm in dict.fromkeys(trial.algorithm for trial in trials):
            own = [trial for trial in trials if trial.algorithm == algorithm]
            names = varied_parameters(own)
            if len(names) > 1:
                seed = seed_for(params.seed, "importance", algorithm)
                title = f"{own[0].algorithm_title}, {results.metric_display_name(metric)}"
                importances[title] = parameter_importances(own, names, metric, seed)
    return importances


def _collect_facts(params: Params) -> dict[str, str]:
    """Return the settings and versions for the footer of the report."""
    data, split, select = read_data_version(), read_json(SPLIT), params.select
    feedback = read_json(FEEDBACK)
    rules = f"recommender: margin {select.margin:g}"
    if feedback["feedback"] == "explicit":
        errors = ", ".join(f"{name} {weight:g}" for name, weight in select.predictor_weights.items())
        rules += f"; predictor: {errors}, rule {select.predictor_rule}"
    return {
        "data": f"{data.source}, digest {data.digest}",
        "feedback": f"{feedback['feedback']}: {feedback['reason']}",
        "commit": get_git_commit() or "not in git",
        "search": f"{params.search.sampler}, seed {params.seed}",
        "search results": f"digest {digest_search_results()}",
        "split": f"{split['reason']}; {params.split.test_share:.0%} held out for the test",
        "chosen by": rules,
        "versions": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    }
