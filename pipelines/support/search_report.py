"""Write the page about the last search: reports/search.html, and its figures beside it for `dvc plots`."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.config.offline import Params
from experiments.figures import figures_of
from experiments.figures.parameter_space import varied
from experiments.figures.style import standalone, to_svg
from experiments.report.page import Told, render
from experiments.search.importance import importances
from experiments.search.trials import Trial
from experiments.selection.search_results import Findings
from marquee.algorithms.registry import candidate
from marquee.seeds import seed_for
from pipelines.support.evaluation_results import champion_score, scores
from pipelines.support.paths import CHOICE, FIGURES, REPORT
from pipelines.support.provenance import data_version, git_commit, search_key
from pipelines.support.stage_results import last_findings
from pipelines.support.stage_runner import read_json


def report(params: Params) -> Path:
    """Write the page of what lies here; its path."""
    findings = last_findings(params)
    page, *_ = write_report(params, findings, findings.by_number[read_json(CHOICE)["trial"]])
    return page


def write_report(params: Params, findings: Findings, winner: Trial) -> list[Path]:
    """Write the page and the figures; their paths, the page first."""
    figures = figures_of(findings, winner, _shares(params, findings))
    told = Told(data_version().source, read_json(CHOICE)["reason"], _facts(params), list(_tested(winner)))
    drawn = {name: to_svg(figure) if figure else None for name, figure in figures.items()}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(render(findings, winner, told, drawn), encoding="utf-8")
    FIGURES.mkdir(exist_ok=True)
    written = [REPORT]
    for name, svg in drawn.items():
        path = FIGURES / f"{name}.svg"
        path.unlink(missing_ok=True)  # of an earlier search
        if svg is not None:
            path.write_text(standalone(svg), encoding="utf-8")
            written.append(path)
    return written


def _shares(params: Params, findings: Findings) -> dict[str, dict[str, float]]:
    """Importance of the parameters of every candidate that was searched in more than one."""
    shares = {}
    for one in findings.leaders:
        trials = [trial for trial in findings.trials if trial.algorithm == one.algorithm and trial.folds]
        names = varied(trials)
        if len(names) > 1:
            seed = seed_for(params.seed, "importance", one.algorithm)
            shares[findings.trial(one).title] = importances(trials, names, findings.metric, seed)
    return shares


def _tested(winner: Trial) -> Iterator[dict[str, Any]]:
    """Errors on the test part: winner, champion where there was one in this evaluation, baselines."""
    tested = scores()
    yield {"model": f"{winner.title} (winner)", **tested.pop("winner")}
    if champion := champion_score():
        yield {"model": f"champion, version {champion['version']}, refitted here", **champion}
    for score in tested.values():
        yield {"model": candidate(score["algorithm"]).title, **score}


def _facts(params: Params) -> dict[str, str]:
    data = data_version()
    libraries = ("marquee", "numpy", "numba", "scikit-surprise", "optuna")
    return {
        "data": f"{data.source}, digest {data.digest}",
        "commit": git_commit() or "not in git",
        "search": f"{params.search.sampler}, {params.split.folds} folds, seed {params.seed}",
        "search key": search_key(),
        "split": f"{params.split.strategy}, {params.split.test_share:.0%} held out for the test",
        "chosen by": f"{params.select.objective}, rule {params.select.rule}",
        "versions": ", ".join(f"{name} {version(name)}" for name in libraries),
    }
