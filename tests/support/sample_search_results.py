"""Sample search results: four candidates, three folds, all metrics."""

from experiments.evaluation.candidate_record import CandidateMetrics, MeasuredCost, SplitComparison
from experiments.search.trials import FoldScore, Trial, TrialCost
from experiments.selection.search_results import SearchResults

FOLD_OFFSETS = (-0.01, 0.0, 0.01)


def make_trial(number: int, algorithm: str, rmse: float, model_bytes: int, **parameters: object) -> Trial:
    folds = tuple(
        FoldScore(rmse + offset, 0.8 * rmse + offset, 0.0, model_bytes, 0.2, 0.1) for offset in FOLD_OFFSETS
    )
    return Trial(number, algorithm, parameters, folds, cost=TrialCost(0.2, 0.1))


def make_candidate_metrics(
    trial: Trial, ndcg: float, coverage: float, tuning_gain: float, *, epochs: int = 0
) -> CandidateMetrics:
    folds = tuple(
        {
            **{"rmse": fold.rmse, "mae": fold.mae, "impossible": 0.0, "ndcg": ndcg + offset / 10},
            **dict.fromkeys(("recall", "precision", "map", "mrr", "hit_rate"), ndcg),
            **{"coverage": coverage, "personalization": 0.5, "diversity": 0.7},
            **{"novelty": 3.0, "popularity_lift": 0.4, "gini": 0.9},
        }
        for fold, offset in zip(trial.folds, FOLD_OFFSETS, strict=True)
    )  # fmt: skip
    rmse = trial.mean("rmse")
    users = {
        name: {"members": 10.0, "rmse": rmse + offset, "ndcg": ndcg + offset}
        for name, offset in zip(("cold", "warm", "hot"), FOLD_OFFSETS, strict=True)
    }
    items = {
        name: {"rmse": rmse + offset, "recall": ndcg + offset, "shown": 0.5}
        for name, offset in zip(("head", "tail"), FOLD_OFFSETS, strict=False)
    }
    return CandidateMetrics(
        trial.number, trial.algorithm, folds, {**users, **items},
        tuple((n, rmse + 0.1 / n) for n in range(1, epochs + 1)),
        tuple(value + tuning_gain for value in trial.fold_values("rmse")),
        SplitComparison(dict(folds[0]), {**folds[0], "rmse": rmse + 0.1, "ndcg": ndcg / 2}, 0.12),
        cost=MeasuredCost(0.3, 0.5, 0.2, 3_000_000),
    )  # fmt: skip


def make_search_results() -> SearchResults:
    trials = [
        make_trial(0, "svd", 0.88, 4_000_000, n_factors=100, reg_all=0.02),
        make_trial(1, "svd", 0.89, 2_000_000, n_factors=50, reg_all=0.02),
        make_trial(2, "svd", 0.90, 2_000_000, n_factors=50, reg_all=0.06),
        make_trial(3, "svd", 0.91, 4_000_000, n_factors=100, reg_all=0.06),
        make_trial(4, "svdpp", 0.86, 5_000_000, n_factors=20, n_epochs=20),
        make_trial(5, "baseline_only", 0.94, 100_000, method="als"),
        make_trial(6, "normal_predictor", 1.5, 100),
        Trial(7, "nmf", {"n_factors": 15}, failure="DivergedError: <b>no</b>"),
    ]
    candidates = [
        make_candidate_metrics(trials[0], 0.05, 0.30, 0.010, epochs=20),
        make_candidate_metrics(trials[4], 0.04, 0.20, 0.002, epochs=20),
        make_candidate_metrics(trials[5], 0.02, 0.01, 0.0),
        make_candidate_metrics(trials[6], 0.01, 1.00, 0.0),
    ]
    order = {
        "random": [candidate.algorithm for candidate in candidates],
        "time": [candidate.algorithm for candidate in candidates],
        "tau": 1.0,
    }
    leakage = {"cutoff": "2001-02-03T04:05:06+00:00", "order": {"rmse": order, "ndcg": order}}
    return SearchResults(
        trials, {candidate.trial: candidate for candidate in candidates}, "rmse", 10, 4.0, leakage
    )
