"""Metric of a search: one metric of the evaluation, or several with weights, by which trials are ordered.

A single metric is compared as it is. Several metrics have different units, so their ratios are compared:

    loss = - sum_k w_k s_k ln(v_k) / sum_k w_k,    s_k = 1 if a higher value v_k is better, else -1

For small differences, this is the weighted mean of the relative differences. Unlike a distance from the best
trial, it does not change when a trial is added.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, nan

from experiments.evaluation.metric_names import ERRORS, LOWER_IS_BETTER, RANKING_METRIC_NAMES, metric_title
from marquee.logarithms import log

MetricSetting = str | Mapping[str, float]  # a metric, or the weights of several
NDCG = "ndcg"
MIN_VALUE = 1e-12  # instead of 0, which has no logarithm


@dataclass(frozen=True)
class SearchMetric:
    """One or several metrics by which trials are ordered.

    Args:
        weights: name and positive weight of each metric.
    """

    weights: tuple[tuple[str, float], ...]

    @classmethod
    def parse(cls, setting: "MetricSetting | SearchMetric") -> "SearchMetric":
        """Return the metric for a value of `search.metric` in params.yaml."""
        if isinstance(setting, SearchMetric):
            return setting
        weights = {setting: 1.0} if isinstance(setting, str) else setting
        return cls(tuple((str(name), float(weight)) for name, weight in weights.items()))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics, that with the largest weight first."""
        return tuple(name for name, _ in sorted(self.weights, key=lambda item: (-item[1], item[0])))

    @property
    def uses_errors(self) -> bool:
        """True if one of the metrics is an error of predicted ratings."""
        return any(name in ERRORS for name in self.names)

    @property
    def uses_lists(self) -> bool:
        """True if one of the metrics is a property of recommendation lists."""
        return any(name not in ERRORS for name in self.names)

    @property
    def user_metric(self) -> str | None:
        """The metric, if it is a mean of one value per user, so that trials can be compared user by user."""
        if len(self.weights) == 1 and self.names[0] in RANKING_METRIC_NAMES:
            return self.names[0]
        return None

    @property
    def list_metric(self) -> str:
        """The metric by which lists are compared user by user: this one, or NDCG if it has no such values."""
        return self.user_metric or NDCG

    def loss(self, values: Mapping[str, float]) -> float:
        """Return a number that is lower for better values; NaN if a value is missing or not finite."""
        numbers = [values.get(name, nan) for name, _ in self.weights]
        if not all(isfinite(number) for number in numbers):
            return nan
        signs = [1.0 if name in LOWER_IS_BETTER else -1.0 for name, _ in self.weights]
        if len(numbers) == 1:
            return signs[0] * numbers[0]
        logarithms = log([max(number, MIN_VALUE) for number in numbers]).tolist()
        weights = [weight for _, weight in self.weights]
        terms = zip(weights, signs, logarithms, strict=True)
        return float(sum(weight * sign * term for weight, sign, term in terms) / sum(weights))

    def format_values(self, values: Mapping[str, float], n: int) -> str:
        """Return the values with their names, such as "NDCG@10 0.3712, coverage 0.4105"."""
        return ", ".join(f"{metric_title(name, n)} {values.get(name, nan):.4f}" for name in self.names)

    def title(self, n: int) -> str:
        """Return the names, such as "NDCG@10", or "0.7 NDCG@10, 0.3 coverage"."""
        if len(self.weights) == 1:
            return metric_title(self.names[0], n)
        weights = dict(self.weights)
        return ", ".join(f"{weights[name]:g} {metric_title(name, n)}" for name in self.names)
