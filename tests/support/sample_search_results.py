"""Sample search results: seven trials with errors on three folds, and nine with lists on three parts.

The lists of a trial have a value for each user that is spread around the mean of the trial, in the same way
for all of them, so that differences of trials have no spread.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.evaluation.candidate_record import CandidateMetrics, MeasuredCost, SplitComparison
from experiments.evaluation.user_intervals import UserValues
from experiments.search.trials import FoldScore, PartScore, Trial, TrialCost, format_sorted_label, point_key
from experiments.search.user_scores import UserColumns, UserScores
from experiments.selection.list_comparison import Selection
from experiments.selection.recommender_rule import RecommenderTrials, choose_recommender
from experiments.selection.search_results import SearchResults
from marquee.array_types import Float32Array
from marquee.interactions.columns import FeedbackType

FOLD_OFFSETS = (-0.01, 0.0, 0.01)
N_PARTS, N_USERS, MARGIN = 3, 400, 0.01
COLUMNS = UserColumns(tuple(np.arange(N_USERS, dtype=np.int32) for _ in range(N_PARTS)))
RANKERS = ("ease", "popularity")


def make_trial(
    number: int, algorithm: str, rmse: float | None, ndcg: float, model_bytes: int, **parameters: object
) -> Trial:
    """Return a trial with lists on every part and, unless `rmse` is None, errors on every fold."""
    folds = tuple(
        FoldScore(rmse + offset, 0.8 * rmse + offset, 0.0, model_bytes, 0.2, 0.1)
        for offset in FOLD_OFFSETS
        if rmse is not None
    )
    parts = tuple(make_part(spread_values(ndcg), model_bytes) for _ in range(N_PARTS))
    cost = TrialCost(0.2, 0.1 if folds else None, 0.3)
    return Trial(number, algorithm, parameters, folds, cost=cost, parts=parts)


def spread_values(mean: float) -> Float32Array:
    """Return a value for each user with this mean, (N_USERS,)."""
    return np.linspace(mean - 0.004, mean + 0.004, N_USERS).clip(0, 1).astype(np.float32)


def make_part(values: Float32Array, model_bytes: int = 1_000_000, *, is_rated: bool = True) -> PartScore:
    """Return lists with these values of NDCG by user."""
    ndcg = float(np.nanmean(values))
    metrics = {"ndcg": ndcg, "recall": ndcg, "coverage": 0.3} | ({"rated_ndcg": 0.8} if is_rated else {})
    n_users = int(np.isfinite(values).sum())
    return PartScore(metrics, n_users, {"ndcg": values}, model_bytes, 0.2, 0.3)


def drop_early(trial: Trial, n_users: int = N_USERS) -> Trial:
    """Return the trial as a race leaves it that drops it after some users of the first part."""
    values = trial.parts[0].user_values["ndcg"].copy()
    values[n_users:] = np.nan
    reason = "dropped after the first part: NDCG@10 is 0.1000 lower than that of EASE (9.0 standard errors)"
    return replace(trial, parts=(make_part(values),), pruned=reason)


def make_candidate_metrics(
    trial: Trial,
    ndcg: float,
    coverage: float,
    tuning_gain: float = 0.0,
    *,
    epochs: int = 0,
    agreement: float = 0.1,
) -> CandidateMetrics:
    """Return the measurement of a trial."""
    folds = tuple({"rmse": fold.rmse, "mae": fold.mae, "impossible": 0.0} for fold in trial.folds)
    lists = {
        **dict.fromkeys(("ndcg", "recall", "precision", "map", "mrr", "hit_rate"), ndcg),
        **{"coverage": coverage, "personalization": 0.5, "diversity": 0.7},
        **{"novelty": 3.0, "popularity_lift": 0.4, "gini": 0.9},
    }
    errors = [trial.mean("rmse")] if folds else []
    under_split = [{"ndcg": ndcg, **dict.fromkeys(("rmse", "mae"), rmse)} for rmse in errors] or [
        {"ndcg": ndcg}
    ]
    return CandidateMetrics(
        trial.number,
        trial.algorithm,
        folds,
        (lists,) * N_PARTS,
        _make_segments(ndcg, errors),
        tuple((n, rmse + 0.1 / n) for rmse in errors for n in range(1, epochs + 1)),
        tuple(value + tuning_gain for value in trial.fold_values("rmse")) if folds else (),
        SplitComparison(
            under_split[0],
            {name: value / 2 if name == "ndcg" else value + 0.1 for name, value in under_split[0].items()},
            0.12,
        ),
        agreement,
        cost=MeasuredCost(0.3, 0.5 if folds else None, 0.2, 3_000_000),
    )


def _make_segments(ndcg: float, errors: Sequence[float]) -> dict[str, dict[str, float]]:
    names = ("cold", "warm", "hot", "head", "tail")
    offsets = (*FOLD_OFFSETS, *FOLD_OFFSETS[:2])
    return {
        name: {"members": 10.0, "ndcg": ndcg + offset, "recall": ndcg + offset}
        | ({"rmse": errors[0] + offset} if errors else {})
        for name, offset in zip(names, offsets, strict=True)
    }


def make_search_results() -> SearchResults:
    """Return results on explicit feedback: EASE has the best lists, SVD++ the lowest error."""
    trials = [
        make_trial(0, "svd", 0.88, 0.05, 4_000_000, n_factors=100, reg_all=0.02),
        make_trial(1, "svd", 0.89, 0.045, 2_000_000, n_factors=50, reg_all=0.02),
        make_trial(2, "svd", 0.90, 0.044, 2_000_000, n_factors=50, reg_all=0.06),
        make_trial(3, "svd", 0.91, 0.043, 4_000_000, n_factors=100, reg_all=0.06),
        make_trial(4, "svdpp", 0.86, 0.04, 5_000_000, n_factors=20, n_epochs=20),
        make_trial(5, "baseline_only", 0.94, 0.02, 100_000, method="als"),
        make_trial(6, "normal_predictor", 1.5, 0.01, 100),
        Trial(7, "nmf", {"n_factors": 15}, failure="DivergedError: <b>no</b>"),
        make_trial(8, "ease", None, 0.30, 9_000_000, reg=400),
        make_trial(9, "ease", None, 0.28, 9_000_000, reg=100),
        make_trial(10, "popularity", None, 0.15, 10_000),
    ]
    candidates = [
        make_candidate_metrics(trials[8], 0.30, 0.25),
        make_candidate_metrics(trials[10], 0.15, 0.02, agreement=1.0),
        make_candidate_metrics(trials[0], 0.05, 0.30, 0.010, epochs=20),
        make_candidate_metrics(trials[4], 0.04, 0.20, 0.002, epochs=20),
        make_candidate_metrics(trials[5], 0.02, 0.01, 0.0),
        make_candidate_metrics(trials[6], 0.01, 1.00, 0.0),
    ]
    by_lists = [candidate.algorithm for candidate in candidates]
    by_error = ["svdpp", "svd", "baseline_only", "normal_predictor"]
    leakage = {
        "cutoff": "2001-02-03T04:05:06+00:00",
        "order": {
            "rmse": {"random": by_error, "time": by_error, "tau": 1.0},
            "ndcg": {"random": by_lists, "time": by_lists, "tau": 1.0},
        },
    }
    return SearchResults(
        trials, {each.trial: each for each in candidates}, n=10, relevance_threshold=4.0, leakage=leakage
    )


def make_implicit_results() -> SearchResults:
    """Return the results of a search on implicit feedback: the rankers of `make_search_results`."""
    results = make_search_results()
    trials = [trial for trial in results.trials if trial.algorithm in RANKERS]
    measured = {number: each for number, each in results.candidates.items() if each.algorithm in RANKERS}
    names = [candidate.algorithm for candidate in measured.values()]
    order = {"ndcg": {"random": names, "time": names, "tau": 1.0}}
    leakage = {"cutoff": "2001-02-03T04:05:06+00:00", "order": order}
    return replace(results, trials=trials, candidates=measured, relevance_threshold=0.0, leakage=leakage)


def make_selection(results: SearchResults, predictor: int | None = 4) -> Selection:
    """Return the selected trials, with a predictor unless it is None."""
    feedback: FeedbackType = "implicit" if predictor is None else "explicit"
    trials = [trial for trial in results.trials if trial.failure is None]
    scores = UserScores.from_trials(_fill_gaps(results.trials), COLUMNS)
    compared = RecommenderTrials(
        [point_key(trial.algorithm, trial.parameters) for trial in trials],
        [trial.algorithm for trial in trials],
        UserValues(scores.ndcg[[trial.number for trial in trials]], scores.part, scores.user),
        [0.8] * len(trials),
        [trial.model_bytes / 1e6 for trial in trials],
    )
    choice = choose_recommender(compared, feedback, MARGIN)
    return Selection(
        trials[choice.winner.trial],
        None if predictor is None else results.trials_by_number[predictor],
        compared,
        choice,
        [format_sorted_label(trial.algorithm, trial.parameters) for trial in trials],
    )


def _fill_gaps(trials: Sequence[Trial]) -> list[Trial]:
    """Return trials with the numbers 0, 1, ..., as in a search."""
    by_number = {trial.number: trial for trial in trials}
    return [by_number.get(number, Trial(number, "svd", {})) for number in range(max(by_number) + 1)]


def make_evaluation(**changes: Any) -> dict[str, Any]:
    """Return the content of results/evaluation.json for these results, with changed scores by role."""
    scores: dict[str, dict[str, Any]] = {
        "recommender": {
            **make_score("ease", 0.32), **make_gain("popularity", 0.16), "popularity_ratio": 2.0,
            "rated_ndcg": 0.85,
        },
        "predictor": {
            **make_score("svdpp", 0.05), **make_gain("popularity", -0.11), **make_gain("recommender", -0.27),
            "rmse": 0.85, "mae": 0.66, "impossible": 0.0,
        },
        "svd": {
            **make_score("svd", 0.06), **make_gain("recommender", -0.26), "rmse": 0.87, "mae": 0.68,
            "impossible": 0.0,
        },
        "popularity": {**make_score("popularity", 0.16), **make_gain("recommender", -0.16)},
        "baseline_only": {
            **make_score("baseline_only", 0.02), **make_gain("recommender", -0.3), "rmse": 0.93, "mae": 0.7,
            "impossible": 0.0,
        },
    }  # fmt: skip
    test_set = {"n": 10, "pairs": 900, "users": 500, "evaluated_users": 400, "evaluated_share": 0.8}
    return {
        "test_set": {**test_set, "evaluated_newcomers": 0},
        "scores": scores | changes,
        "strong_generalization": {
            "users": 50,
            "evaluated_users": 40,
            "scores": {"recommender": make_score("ease", 0.4), "popularity": make_score("popularity", 0.2)},
        },
    }


def make_gain(name: str, gain: float, half_width: float = 0.02) -> dict[str, float]:
    """Return a difference on the test part and its bounds."""
    return {
        f"{name}_gain": gain,
        f"{name}_gain_low": gain - half_width,
        f"{name}_gain_high": gain + half_width,
    }


def make_score(algorithm: str, ndcg: float, half_width: float = 0.02) -> dict[str, Any]:
    """Return the scores of lists on the test part."""
    low, high = max(ndcg - half_width, 0.0), min(ndcg + half_width, 1.0)
    return {
        **{"algorithm": algorithm, "ndcg": ndcg, "ndcg_low": low, "ndcg_high": high},
        **{"recall": ndcg, "coverage": 0.3},
    }


def make_implicit_evaluation() -> dict[str, Any]:
    """Return the same of implicit feedback."""
    evaluation = make_evaluation()
    kept = ("recommender", "popularity")
    scores = {role: {**evaluation["scores"][role], "graded_ndcg": 0.2} for role in kept}
    del scores["recommender"]["rated_ndcg"]
    return {**evaluation, "scores": scores}


def make_split(strategy: str = "random") -> dict[str, Any]:
    """Return the content of data/split/split.json."""
    return {
        "strategy": strategy,
        "rolling": False,
        "reason": "random split",
        "parts": [{}] * N_PARTS,
        "test": {},
    }
