"""Record of a pipeline run: report, and metrics and tags in MLflow, of recommender and predictor."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from mlflow import MlflowClient

from experiments.config import Params, load_params
from experiments.search.trials import Trial, trial_to_record
from experiments.search.user_scores import UserScores
from experiments.selection.search_results import SearchResults
from experiments.tracking.runs import ExperimentTracker
from marquee.files.atomic_write import write_json
from pipelines.stages.record import record_pipeline_run
from pipelines.support import paths
from pipelines.support.html_report import write_html_report
from pipelines.support.selected_trials import read_selection
from pipelines.support.stage_results import read_trials_and_metrics, save_costs
from tests.support.sample_search_results import (
    COLUMNS,
    make_evaluation,
    make_implicit_evaluation,
    make_implicit_results,
    make_search_results,
    make_split,
)

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
REASONS = {"recommender": "Its lists are the best.", "predictor": "Its error is the lowest."}


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Parameters of an empty project with a tracking store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return load_params(ROOT / "params.yaml")


def write_project(results: SearchResults, evaluation: dict[str, Any], **selected: int) -> None:
    """Write the outputs of all stages before `record`.

    Args:
        results: results of the search and of the measurement.
        evaluation: content of results/evaluation.json.
        selected: number of the selected trial by role.
    """
    trials = number_consecutively(results.trials)
    feedback: dict[str, Any] = {
        "feedback": "explicit" if "predictor" in selected else "implicit",
        "reason": "as rated",
    }
    feedback |= {"scale": [1.0, 5.0] if "predictor" in selected else None, "positive_from": 4.0}
    choices = {role: describe(results, number) for role, number in selected.items()}
    measured = [candidate.to_record() for candidate in results.candidates.values()]
    contents: dict[Path, dict[str, Any]] = {
        paths.SOURCE: {"source": "demo", "digest": "0" * 36, "path": "data/raw"},
        paths.FEEDBACK: {**feedback, "repeats": "last"},
        paths.SPLIT: make_split(),
        paths.SEARCH: {"trials": [trial_to_record(trial) for trial in trials]},
        paths.CANDIDATE_METRICS: {
            **{"n": results.n, "relevance_threshold": results.relevance_threshold},
            **{"error": "rmse", "candidates": measured, "leakage": results.leakage},
        },
        paths.SELECTION: {"recommender": None, "predictor": None} | choices,
        paths.EVALUATION: evaluation,
        paths.REGISTERED_MODEL: {"model": "marquee", "digest": "f" * 16},
        paths.BENTO: {"digest": "b"},
        paths.LAST_BENTO: {"tag": "marquee:1", "user": "7"},
    }
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)
    paths.TEST.write_bytes(b"test part")
    UserScores.from_trials(trials, COLUMNS).save(paths.USER_SCORES)
    save_costs(paths.TRIAL_COSTS, {trial.number: trial.cost for trial in trials})
    save_costs(paths.MEASURED_COSTS, {each.trial: each.cost for each in results.candidates.values()})


def number_consecutively(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials with failed ones in the gaps, so that a number is a row of the user scores."""
    known = {trial.number: trial for trial in trials}
    gap = Trial(0, "nmf", {}, failure="DivergedError")
    return [known.get(number, replace(gap, number=number)) for number in range(max(known) + 1)]


def describe(results: SearchResults, number: int) -> dict[str, Any]:
    trial = results.trials_by_number[number]
    role = "predictor" if trial.folds else "recommender"
    parameters = dict(trial.parameters)
    return {"algorithm": trial.algorithm, "parameters": parameters, "trial": number, "reason": REASONS[role]}


def record(params: Params) -> tuple[dict[str, float], dict[str, str]]:
    """Record a run, and return its metrics and tags."""
    with patch("pipelines.stages.record.find_version", return_value=None):
        record_pipeline_run(params)
    tracker = ExperimentTracker(params.search.experiment)
    client = MlflowClient(tracker.uri)
    (run,) = client.search_runs([tracker.experiment_id])
    return run.data.metrics, run.data.tags


def test_run_has_metrics_and_tags_of_both_roles(params: Params) -> None:
    write_project(make_search_results(), make_evaluation(), recommender=8, predictor=4)
    metrics, tags = record(params)
    assert tags["recommender"] == "EASE (reg=400)"
    assert tags["predictor"] == "SVD++ (n_epochs=20, n_factors=20)"
    assert [tags[f"{role}_reason"] for role in REASONS] == list(REASONS.values())
    assert metrics["ndcg"] == metrics["recommender_ndcg"] == pytest.approx(0.30)
    assert metrics["predictor_ndcg"] == pytest.approx(0.04)
    assert metrics["rmse"] == metrics["predictor_rmse"] == pytest.approx(0.86)
    assert metrics["test_ndcg"] == metrics["test_recommender_ndcg"] == pytest.approx(0.32)
    assert metrics["test_predictor_ndcg"] == pytest.approx(0.05)
    assert metrics["test_rmse"] == pytest.approx(0.85)
    assert metrics["test_popularity_ratio"] == pytest.approx(2.0)
    assert metrics["n_trials"] == 11, "MLflow's list of searches has the runs with this metric"
    assert metrics["left_out_users_recommender_ndcg"] == pytest.approx(0.4)


def test_curves_are_those_of_predictors(params: Params) -> None:
    write_project(make_search_results(), make_evaluation(), recommender=8, predictor=4)
    metrics, _ = record(params)
    assert {name for name in metrics if name.startswith("epoch_")} == {"epoch_rmse/svd", "epoch_rmse/svdpp"}


def test_run_of_implicit_feedback_has_no_errors(params: Params) -> None:
    write_project(make_implicit_results(), make_implicit_evaluation(), recommender=8)
    metrics, tags = record(params)
    assert "predictor" not in tags
    assert not [name for name in metrics if "rmse" in name or "mae" in name or "predictor" in name]
    assert metrics["test_ndcg"] == pytest.approx(0.32)
    assert metrics["test_graded_ndcg"] == pytest.approx(0.2)


def write_report_of_project(params: Params) -> list[Path]:
    results = read_trials_and_metrics(params)
    return write_html_report(params, results, read_selection(params, results))


def test_report_of_a_project_explains_both_choices(params: Params) -> None:
    write_project(make_search_results(), make_evaluation(), recommender=8, predictor=4)
    report, *figures = write_report_of_project(params)
    html = report.read_text()
    assert "EASE and SVD++ were chosen on demo" in html
    assert all(reason in html for reason in REASONS.values())
    assert "explicit: as rated" in html
    assert {figure.stem for figure in figures} >= {"pareto", "recommender_losses", "segments", "leakage"}


def test_report_of_implicit_feedback_deletes_figures_of_errors(params: Params) -> None:
    write_project(make_implicit_results(), make_implicit_evaluation(), recommender=8)
    paths.FIGURES.mkdir(parents=True)
    curves = paths.FIGURES / "learning_curves.svg"
    curves.write_text("of an earlier search")
    report, *figures = write_report_of_project(params)
    assert not curves.exists()
    assert "rule" not in report.read_text().split("Provenance")[1]
    assert len(figures) == 4
