"""Names of all metrics of the evaluation, their directions, and how they are shown to readers.

rmse, mae                                    error of held-out ratings, in stars
ndcg, recall, precision, map, mrr, hit_rate  ranking of the full catalog without items seen in training
rated_ndcg                                   order of the rated held-out items only (explicit feedback)
personalization, coverage, diversity,        properties of the same lists that need no held-out ratings
novelty, popularity_lift, gini
"""

ERRORS = ("rmse", "mae")
RANKING_METRIC_NAMES = ("ndcg", "recall", "precision", "map", "mrr", "hit_rate")
RATED_NDCG = "rated_ndcg"
BEYOND_ACCURACY = ("personalization", "coverage", "diversity", "novelty", "popularity_lift", "gini")
LOWER_IS_BETTER = (*ERRORS, "gini")
HIGHER_IS_BETTER = (*RANKING_METRIC_NAMES, RATED_NDCG, "coverage", "personalization", "diversity", "novelty")
ABBREVIATIONS = {"rmse": "RMSE", "mae": "MAE", "ndcg": "NDCG", "map": "MAP", "mrr": "MRR"}


def metric_title(metric: str, n: int) -> str:
    """Return a metric's name as shown to readers, for lists of n items.

    >>> metric_title("ndcg", 10), metric_title("hit_rate", 5), metric_title("coverage", 10)
    ('NDCG@10', 'hit rate@5', 'coverage')
    >>> metric_title("rated_ndcg", 10)
    'NDCG@10 of rated items'
    """
    if metric == RATED_NDCG:
        return f"NDCG@{n} of rated items"
    name = ABBREVIATIONS.get(metric, metric.replace("_", " "))
    return f"{name}@{n}" if metric in RANKING_METRIC_NAMES else name
