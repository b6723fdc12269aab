"""A trial's costs: those that this clone noted, where they are of the very search that lies here."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from experiments.config.offline import load_params
from experiments.search.trials import Cost
from pipelines.support import stage_results
from pipelines.support.provenance import search_key
from pipelines.support.stage_results import last_trials

ROOT = Path(__file__).parents[2]
FOLDS = [{"rmse": 1.0, "mae": 0.8, "impossible": 0.0}] * 2
TRIAL = {"number": 0, "algorithm": "svd", "parameters": {}, "model_bytes": 10, "folds": FOLDS}
HERE, IN_STORE = Cost(1.5, 0.25), Cost(9.0, 9.0)


@pytest.fixture
def searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with the results of one search, whose store remembers other costs than the clone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage_results, "_in_store", lambda *_: {"0": asdict(IN_STORE)})
    for name in ("results", ".marquee"):
        (tmp_path / name).mkdir()
    (tmp_path / "results/search.json").write_text(json.dumps({"trials": [TRIAL]}))
    return tmp_path


def note(folder: Path, key: str) -> None:
    costs = {"0": {"fit_seconds": 1.5, "predict_seconds": 0.25}}
    (folder / ".marquee/costs.json").write_text(json.dumps({"search_key": key, "costs": costs}))


def cost_of_the_trial() -> Cost | None:
    (trial,) = last_trials(load_params(ROOT / "params.yaml"))
    return trial.cost


def test_costs_that_this_clone_noted_are_taken(searched: Path) -> None:
    note(searched, search_key())
    assert cost_of_the_trial() == HERE


def test_costs_of_another_search_are_not(searched: Path) -> None:
    note(searched, "another")
    assert cost_of_the_trial() == IN_STORE


def test_a_clone_that_noted_none_asks_the_store(searched: Path) -> None:
    assert cost_of_the_trial() == IN_STORE
