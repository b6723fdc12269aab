"""Leaderboard: order of the trials, marks, and columns by terminal width."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from experiments.config import Params, load_params
from experiments.search.user_scores import UserScores
from pipelines.support.provenance import digest_search_results
from pipelines.support.trial_leaderboard import build_markdown_leaderboard, build_trial_leaderboard

ROOT = Path(__file__).parents[2]
COSTS = {"fit_seconds": 1.5, "predict_seconds": 0.25, "list_seconds": 0.75}
N_USERS = 300


def trial_record(
    number: int, algorithm: str, rmse: float, ndcg: float, **parameters: object
) -> dict[str, object]:
    folds = [{"rmse": rmse + offset, "mae": 0.8, "impossible": 0.0} for offset in (-0.01, 0.01)]
    trial = {"number": number, "algorithm": algorithm, "parameters": parameters}
    parts = [{"ndcg": ndcg, "recall": ndcg, "n_users": N_USERS}] * 3
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
        "parts": [{"ndcg": 0.99, "n_users": 100}],
        "pruned": "dropped after a sample",
    },
]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """Parameters of a project that has search results; Slope One is the recommender, an SVD the predictor."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")  # has no costs
    for folder in ("data", "results", ".marquee"):
        (tmp_path / folder).mkdir()
    Path("results/search.json").write_text(json.dumps({"trials": TRIALS}))
    write_selection(recommender=2, predictor=1)
    write_user_scores([[0.11], [0.13], [0.12], [np.nan], [0.99]])
    Path("data/source.json").write_text(json.dumps({"source": "demo", "digest": "0" * 36}))
    costs = {str(number): COSTS for number in range(3)} | {"4": {"fit_seconds": 0.5}}
    saved = {"search_results_digest": digest_search_results(), "costs": costs}
    Path(".marquee/costs.json").write_text(json.dumps(saved))
    return load_params(ROOT / "params.yaml")


def write_selection(**trials: int) -> None:
    roles = ("recommender", "predictor")
    selection = {role: {"trial": trials[role]} if role in trials else None for role in roles}
    Path("results/selection.json").write_text(json.dumps(selection))


def write_user_scores(ndcg: list[list[float]], spread: float = 0.001) -> None:
    """Write values of every user around one mean per trial, with differences of this standard deviation."""
    noise = np.random.default_rng(0).normal(0, spread, (len(ndcg), 3 * N_USERS))
    part = np.repeat(np.arange(3), N_USERS).astype(np.int8)
    user = np.tile(np.arange(N_USERS), 3).astype(np.int32)
    UserScores((np.array(ndcg) + noise).astype(np.float32), part, user).save(Path("results/user_scores.npz"))


def render_leaderboard(params: Params, *, width: int, best_only: bool = False) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(build_trial_leaderboard(params, width=width, best_only=best_only))
    return capture.get().splitlines()


def test_trials_are_listed_best_first_and_failed_ones_last(params: Params) -> None:
    lines = [line for line in render_leaderboard(params, width=160) if line.strip()]
    rows = [line.split()[:2] for line in lines[-5:]]
    assert rows == [["◆", "1"], ["▶", "2"], ["3", "SVD"], ["4", "Popularity"], ["✗", "NMF"]]


def test_recommender_and_predictor_are_marked(params: Params) -> None:
    text = "\n".join(render_leaderboard(params, width=160))
    assert "▶ recommender, ◆ predictor" in text
    assert re.search(r"▶ 2 +Slope One", text)
    assert re.search(r"◆ 1 +SVD", text)
    write_selection(recommender=1, predictor=1)
    text = "\n".join(render_leaderboard(params, width=160))
    assert "▶ recommender and predictor" in text
    assert "◆" not in text


def test_difference_that_may_be_chance_is_marked(params: Params) -> None:
    """By lists, all differences are clear; by error, no difference is, because it varies between folds."""
    assert "≈" not in "\n".join(render_leaderboard(params, width=160))
    write_user_scores([[0.11], [0.13], [0.12], [np.nan], [0.99]], spread=0.5)
    lines = render_leaderboard(params, width=160)
    assert "≈ difference from the best may be chance" in "\n".join(lines)
    assert ["0.1200≈" in line for line in lines if "Slope One" in line] == [True]
    assert not any("0.1300≈" in line for line in lines), "the best one is not compared with itself"


def test_leaderboard_without_ratings_has_no_errors(params: Params) -> None:
    records = [
        {name: value for name, value in record.items() if name != "folds"}
        for record in TRIALS
        if record["algorithm"] == "popularity"
    ]
    Path("results/search.json").write_text(json.dumps({"trials": records}))
    write_selection(recommender=4)
    text = "\n".join(render_leaderboard(params, width=160))
    assert "RMSE" not in text
    assert "MAE" not in text
    assert "errors" not in text
    assert "▶ recommender" in text
    assert "RMSE" not in build_markdown_leaderboard(params)


def test_metric_of_the_search_is_shown(params: Params) -> None:
    search = params.search.model_copy(update={"metric": {"recall": 0.7, "ndcg": 0.3}})
    by_two = params.model_copy(update={"search": search})
    assert "recall@10" in "\n".join(render_leaderboard(by_two, width=160))


def test_dropped_trial_is_marked_and_ranked_after_complete_ones(params: Params) -> None:
    lines = render_leaderboard(params, width=160)
    assert "0.9900*" in next(line for line in lines if "Popularity" in line)
    assert "* evaluated on fewer users, then dropped" in "\n".join(lines)


def test_brackets_in_a_failure_are_not_markup(params: Params) -> None:
    failed = {"number": 5, "algorithm": "nmf", "parameters": {}, "failure": "OSError: no space in [/tmp]"}
    Path("results/search.json").write_text(json.dumps({"trials": [*TRIALS, failed]}))
    assert "OSError: no space in [/tmp]" in "\n".join(render_leaderboard(params, width=160))


def test_search_without_a_selection_has_no_marks(params: Params) -> None:
    Path("results/selection.json").unlink()
    lines = render_leaderboard(params, width=160)
    assert any("Slope One" in line for line in lines)
    assert not any(mark in line for line in lines[3:] for mark in "▶◆")


def test_best_only_keeps_one_trial_of_each_algorithm(params: Params) -> None:
    lines = render_leaderboard(params, width=160, best_only=True)
    assert sum("SVD" in line for line in lines) == 1, "the same trial is best by lists and by error"
    assert "0.9000" in next(line for line in lines if "SVD" in line)


def test_best_only_keeps_the_trial_with_the_lowest_error_too(params: Params) -> None:
    low_error = trial_record(5, "svd", 0.77, 0.05)
    Path("results/search.json").write_text(json.dumps({"trials": [*TRIALS, low_error]}))
    write_user_scores([[0.11], [0.13], [0.12], [np.nan], [0.99], [0.05]])
    lines = render_leaderboard(params, width=160, best_only=True)
    assert [score for line in lines for score in ("0.7700", "0.9000", "0.9200") if score in line] == [
        "0.9000", "0.7700",
    ]  # fmt: skip


def test_wide_terminal_shows_all_columns(params: Params) -> None:
    header = next(line for line in render_leaderboard(params, width=160) if "candidate" in line)
    names = ("NDCG@10", "RMSE", "±", "MAE", "fit s", "predict s", "lists s", "MB", "parameters")
    assert all(name in header for name in names)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_narrow_terminal_drops_columns_and_cuts_no_number(params: Params, width: int) -> None:
    lines = render_leaderboard(params, width=width)
    assert all(len(line) <= width for line in lines)
    assert "…" not in "\n".join(lines)
    header = next(line for line in lines if "candidate" in line)
    assert "±" not in header
    assert all(name in header for name in ("NDCG@10", "RMSE", "fit s", "parameters"))
    assert all(error in "\n".join(lines) for error in ("0.9000", "0.9100", "0.9200"))


def test_markdown_table_has_a_row_for_each_trial(params: Params) -> None:
    lines = build_markdown_leaderboard(params).splitlines()
    assert lines[0] == (
        "|  | candidate | NDCG@10 | RMSE | ± | MAE | fit s | predict s | lists s | MB | parameters |"
    )
    assert lines[3] == (
        "| ▶ 2 | Slope One | 0.1200 | 0.9100 | 0.0141 | 0.8000 | 1.50 | 0.25 | 0.75 | 2.0 |  |"
    )
    assert lines[-1].startswith("| ✗ | NMF |")
    assert len(lines) == 2 + len(TRIALS)
