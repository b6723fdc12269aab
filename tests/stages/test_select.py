"""Descriptions of the compared trials for the explanation of the recommender."""

from pathlib import Path

import pytest

from experiments.config.offline import SelectParams
from experiments.selection.recommender_explanation import TrialDescriptions
from marquee.files.atomic_write import write_json
from pipelines.stages.select import describe_trials
from pipelines.support import paths
from pipelines.support.recommender_choice import ComparedTrials
from tests.support.sample_search_results import make_search_results, make_selection

SIZES = SelectParams(cost_metric="model_bytes", max_fit_seconds=9.0, max_model_megabytes=99.0)


def describe_sample(select: SelectParams) -> TrialDescriptions:
    results = make_search_results()
    selection = make_selection(results)
    assert selection.compared is not None
    assert selection.choice is not None
    trials = [trial for trial in results.trials if trial.failure is None]
    compared = ComparedTrials(trials, selection.compared, selection.choice, "ndcg")
    return describe_trials(compared, results, select)


@pytest.fixture(autouse=True)
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths.SPLIT.parent.mkdir(parents=True)
    write_json(paths.SPLIT, {"strategy": "random"})


def test_costs_are_sizes_unless_the_choice_is_by_the_time_of_a_fit() -> None:
    assert "9.00 MB" in describe_sample(SIZES).costs
    by_time = SIZES.model_copy(update={"cost_metric": "fit_seconds"})
    assert {*describe_sample(by_time).costs} == {""}


def test_trial_with_the_lowest_error_is_described() -> None:
    descriptions = describe_sample(SIZES)
    assert descriptions.error == "RMSE"
    assert descriptions.predictor is not None
    assert descriptions.labels[descriptions.predictor] == "SVD++ (n_epochs=20, n_factors=20)"
