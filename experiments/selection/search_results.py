"""Results of a search and of the measurement of its best trials: input of selection, report and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from experiments.evaluation.candidate_record import CandidateMetrics
from experiments.evaluation.metric_names import metric_title
from experiments.search.metric import MetricSetting, SearchMetric
from experiments.search.trials import Trial, rank_trials


@dataclass(frozen=True)
class SearchResults:
    """Trials of a search and the metrics of the measured ones.

    Measured are the best trial of each algorithm by the metric of the search and, with ratings, that by the
    error of its predictions. They are often the same trial.

    Attributes:
        trials: all trials.
        candidates: metrics of the measured trials, by number of the trial.
        error: rmse or mae: the error by which predictors are ordered.
        metric: metric of the search, by which recommenders are ordered.
        n: length of the evaluated lists.
        relevance_threshold: lowest rating or weight of a relevant held-out item.
        leakage: cutoff, and order of the candidates under each split; None if it was not measured.
    """

    trials: Sequence[Trial]
    candidates: Mapping[int, CandidateMetrics] = field(default_factory=dict)
    error: str = "rmse"
    metric: MetricSetting = "ndcg"
    n: int = 10
    relevance_threshold: float = 4.0
    leakage: Mapping[str, Any] | None = None

    @cached_property
    def trials_by_number(self) -> dict[int, Trial]:
        """All trials, by number."""
        return {trial.number: trial for trial in self.trials}

    @cached_property
    def ranked_recommenders(self) -> list[CandidateMetrics]:
        """The measured trial of each algorithm with the best lists, best first."""
        return self._rank(self.metric if self.search_metric.uses_lists else "ndcg")

    @cached_property
    def ranked_predictors(self) -> list[CandidateMetrics]:
        """The measured trial of each algorithm with the lowest error, best first; empty without ratings."""
        return self._rank(self.error)

    @property
    def search_metric(self) -> SearchMetric:
        """Metric of the search."""
        return SearchMetric.parse(self.metric)

    def trial_of(self, candidate: CandidateMetrics) -> Trial:
        """Return the trial that was measured."""
        return self.trials_by_number[candidate.trial]

    def metric_display_name(self, metric: str) -> str:
        """Return a metric's name as shown to readers, such as RMSE, NDCG@10, hit rate@10 or coverage."""
        return metric_title(metric, self.n)

    def _rank(self, metric: MetricSetting) -> list[CandidateMetrics]:
        """Return the first measured trial of each algorithm in the order of a metric."""
        first: dict[str, CandidateMetrics] = {}
        for trial in rank_trials(self.trials, metric):
            candidate = self.candidates.get(trial.number)
            if candidate is not None and candidate.failure is None:
                first.setdefault(trial.algorithm, candidate)
        return list(first.values())
