"""Leaderboard: order of the trials, marks, and columns by terminal width."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from experiments.config import Params, load_params
from pipelines.support.provenance import digest_search_results
from pipelines.support.trial_leaderboard import build_markdown_leaderboard, build_trial_leaderboard

ROOT = Path(__file__).parents[2]
COSTS = {"fit_seconds": 1.5, "predict_seconds": 0.25}


def trial_record(
    number: int, algorithm: str, rmse: float, ndcg: float, **parameters: object
) -> dict[str, object]:
    folds = [{"rmse": rmse + offset, "mae": 0.8, "impossible": 0.0} for offset in (-0.01, 0.01)]
    trial = {"number": number, "algorithm": algorithm, "parameters": parameters}
    parts = [{"ndcg": ndcg, "n_users": 9}] * 3
    return {**trial, "model_bytes": 2_000_000, "folds": folds, "parts": parts}


TRIALS = [
    trial_record(0, "svd", 0.92, 0.11, n_factors=50, n_epochs=20, lr_all=0.005, reg_all=0.02),
    trial_record(1, "svd", 0.90, 0.13, n_factors=100, n_epochs=20, lr_all=0.005, reg_all=0.02),
    trial_record(2, "slope_one", 0.91, 0.12),
    {
        "number": 3,
        "algorithm": "nmf",
        "parameters": {"n_factors": 15},
        "failure": "DivergedError: not finite",
    },
    {
        "number": 4,
        "algorithm": "popularity",
        "parameters": {},
        "model_bytes": 1_000_000,
        "parts": [{"ndcg": 0.99, "n_users": 3}],
        "pruned": "dropped after a sample",
    },
]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Parameters of a project that has search results, of which Slope One was selected."""
    monkeypatch.chdir(tmp_path)
    for folder in ("data", "results", ".marquee"):
        (tmp_path / folder).mkdir()
    Path("results/search.json").write_text(json.dumps({"trials": TRIALS}))
    Path("results/selection.json").write_text(json.dumps({"recommender": {"trial": 2}}))
    Path("data/source.json").write_text(json.dumps({"source": "demo", "digest": "0" * 36}))
    costs = {str(number): COSTS for number in range(3)} | {"4": {"fit_seconds": 0.5}}
    saved = {"search_results_digest": digest_search_results(), "costs": costs}
    Path(".marquee/costs.json").write_text(json.dumps(saved))
    return load_params(ROOT / "params.yaml")


def render_leaderboard(params: Params, *, width: int, best_only: bool = False) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(build_trial_leaderboard(params, width=width, best_only=best_only))
    return capture.get().splitlines()


def test_trials_are_listed_best_first_and_failed_ones_last(params: Params) -> None:
    lines = [line for line in render_leaderboard(params, width=160) if line.strip()]
    rows = [line.split()[:2] for line in lines[-5:]]
    assert rows == [["1", "SVD"], ["▶", "2"], ["3", "SVD"], ["4", "Popularity"], ["✗", "NMF"]]


def test_dropped_trial_is_marked_and_ranked_after_complete_ones(params: Params) -> None:
    lines = render_leaderboard(params, width=160)
    assert "0.9900*" in next(line for line in lines if "Popularity" in line)
    assert "* evaluated on fewer users, then dropped" in "\n".join(lines)


def test_brackets_in_a_failure_are_not_markup(params: Params) -> None:
    failed = {"number": 4, "algorithm": "nmf", "parameters": {}, "failure": "OSError: no space in [/tmp]"}
    Path("results/search.json").write_text(json.dumps({"trials": [*TRIALS, failed]}))
    assert "OSError: no space in [/tmp]" in "\n".join(render_leaderboard(params, width=160))


def test_best_only_keeps_one_trial_of_each_algorithm(params: Params) -> None:
    lines = render_leaderboard(params, width=160, best_only=True)
    assert sum("SVD" in line for line in lines) == 1
    assert "0.9000" in next(line for line in lines if "SVD" in line)


def test_wide_terminal_shows_all_columns(params: Params) -> None:
    header = next(line for line in render_leaderboard(params, width=160) if "candidate" in line)
    names = ("NDCG", "RMSE", "±", "MAE", "fit s", "predict s", "MB", "parameters")
    assert all(name in header for name in names)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_narrow_terminal_drops_columns_and_cuts_no_number(params: Params, width: int) -> None:
    lines = render_leaderboard(params, width=width)
    assert all(len(line) <= width for line in lines)
    assert "…" not in "\n".join(lines)
    header = next(line for line in lines if "candidate" in line)
    assert "±" not in header
    assert all(name in header for name in ("NDCG", "RMSE", "fit s", "parameters"))
    assert all(error in "\n".join(lines) for error in ("0.9000", "0.9100", "0.9200"))


def test_markdown_table_has_a_row_for_each_trial(params: Params) -> None:
    lines = build_markdown_leaderboard(params).splitlines()
    assert lines[0] == "|  | candidate | NDCG | RMSE | ± | MAE | fit s | predict s | MB | parameters |"
    assert lines[3] == "| 2 | Slope One | 0.1200 | 0.9100 | 0.0141 | 0.8000 | 1.50 | 0.25 | 2.0 |  |"
    assert lines[-1].startswith("| ✗ | NMF |")
    assert len(lines) == 2 + len(TRIALS)
