"""Findings as a search leaves them: four candidates, three folds, every figure."""

from experiments.evaluation.candidate_metrics import AcrossTime, MeasuredCost, Measures
from experiments.search.trials import Cost, FoldScore, Trial
from experiments.selection.search_results import Findings

FOLDS = (-0.01, 0.0, 0.01)


def trial(number: int, algorithm: str, rmse: float, size: int, **parameters: object) -> Trial:
    folds = tuple(FoldScore(rmse + d, 0.8 * rmse + d, 0.0, size, 0.2, 0.1) for d in FOLDS)
    return Trial(number, algorithm, parameters, folds, cost=Cost(0.2, 0.1))


def measures(of: Trial, ndcg: float, coverage: float, gain: float, *, epochs: int = 0) -> Measures:
    folds = tuple(
        {
            **{"rmse": fold.rmse, "mae": fold.mae, "impossible": 0.0, "ndcg": ndcg + d / 10},
            **dict.fromkeys(("recall", "precision", "map", "mrr", "hit_rate"), ndcg),
            **{"coverage": coverage, "personalisation": 0.5, "diversity": 0.7},
            **{"novelty": 3.0, "popularity_lift": 0.4, "gini": 0.9},
        }
        for fold, d in zip(of.folds, FOLDS, strict=True)
    )  # fmt: skip
    rmse = of.mean("rmse")
    users = {
        name: {"members": 10.0, "rmse": rmse + d, "ndcg": ndcg + d}
        for name, d in zip(("cold", "warm", "hot"), FOLDS, strict=True)
    }
    items = {
        name: {"rmse": rmse + d, "recall": ndcg + d, "shown": 0.5}
        for name, d in zip(("head", "tail"), FOLDS, strict=False)
    }
    return Measures(
        of.number, of.algorithm, folds, {**users, **items},
        tuple((n, rmse + 0.1 / n) for n in range(1, epochs + 1)),
        tuple(value + gain for value in of.values("rmse")),
        AcrossTime(dict(folds[0]), {**folds[0], "rmse": rmse + 0.1, "ndcg": ndcg / 2}, 0.12),
        cost=MeasuredCost(0.3, 0.5, 0.2, 3_000_000),
    )  # fmt: skip


def findings() -> Findings:
    trials = [
        trial(0, "svd", 0.88, 4_000_000, n_factors=100, reg_all=0.02),
        trial(1, "svd", 0.89, 2_000_000, n_factors=50, reg_all=0.02),
        trial(2, "svd", 0.90, 2_000_000, n_factors=50, reg_all=0.06),
        trial(3, "svd", 0.91, 4_000_000, n_factors=100, reg_all=0.06),
        trial(4, "svdpp", 0.86, 5_000_000, n_factors=20, n_epochs=20),
        trial(5, "baseline_only", 0.94, 100_000, method="als"),
        trial(6, "normal_predictor", 1.5, 100),
        Trial(7, "nmf", {"n_factors": 15}, failure="DivergedError: <b>no</b>"),
    ]
    told = [
        measures(trials[0], 0.05, 0.30, 0.010, epochs=20),
        measures(trials[4], 0.04, 0.20, 0.002, epochs=20),
        measures(trials[5], 0.02, 0.01, 0.0),
        measures(trials[6], 0.01, 1.00, 0.0),
    ]
    order = {"random": [one.algorithm for one in told], "time": [one.algorithm for one in told], "tau": 1.0}
    leakage = {"moment": "2001-02-03T04:05:06+00:00", "order": {"rmse": order, "ndcg": order}}
    return Findings(trials, {one.trial: one for one in told}, "rmse", 10, 4.0, leakage)
