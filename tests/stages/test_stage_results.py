"""Costs of trials: read from this clone if saved there, otherwise from the MLflow run of the search."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from experiments.config import load_params
from experiments.search.trials import TrialCost
from pipelines.support import last_search_run
from pipelines.support.provenance import digest_search_results
from pipelines.support.stage_results import read_trials

ROOT = Path(__file__).parents[2]
FOLDS = [{"rmse": 1.0, "mae": 0.8, "impossible": 0.0}] * 2
TRIAL = {"number": 0, "algorithm": "svd", "parameters": {}, "model_bytes": 10, "folds": FOLDS}
SAVED_COST, LOGGED_COST = TrialCost(1.5, 0.25), TrialCost(9.0, 9.0)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Clone with search results; the search's MLflow run has other costs than the tests save in the clone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(last_search_run, "download_costs", lambda *_: {"0": asdict(LOGGED_COST)})
    for name in ("results", ".marquee"):
        (tmp_path / name).mkdir()
    (tmp_path / "results/search.json").write_text(json.dumps({"trials": [TRIAL]}))
    return tmp_path


def save_costs(folder: Path, search_results_digest: str) -> None:
    saved = {"search_results_digest": search_results_digest, "costs": {"0": asdict(SAVED_COST)}}
    (folder / ".marquee/costs.json").write_text(json.dumps(saved))


def read_cost() -> TrialCost | None:
    (trial,) = read_trials(load_params(ROOT / "params.yaml"))
    return trial.cost


def test_costs_saved_in_the_clone_are_used(clone: Path) -> None:
    save_costs(clone, digest_search_results())
    assert read_cost() == SAVED_COST


def test_saved_costs_of_another_search_are_ignored(clone: Path) -> None:
    save_costs(clone, "another")
    assert read_cost() == LOGGED_COST


def test_logged_costs_are_used_if_none_are_saved(clone: Path) -> None:
    assert read_cost() == LOGGED_COST
