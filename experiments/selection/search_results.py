"""Results of a search and of the evaluation of its best trials: input of selection, report and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from experiments.evaluation.candidate_record import CandidateMetrics
from experiments.evaluation.metric_names import ERRORS, metric_title
from experiments.search.trials import Trial


@dataclass(frozen=True)
class SearchResults:
    """Trials of a search and the metrics of each candidate's best trial."""

    trials: Sequence[Trial]
    candidates: Mapping[int, CandidateMetrics] = field(default_factory=dict)  # by trial number
    metric: str = "rmse"  # the metric of the search: rmse or mae
    n: int = 10  # length of the evaluated lists
    relevance_threshold: float = 4.0  # stars
    leakage: Mapping[str, Any] | None = None  # cutoff, and order of the candidates under each split

    @cached_property
    def trials_by_number(self) -> dict[int, Trial]:
        """All trials, by number."""
        return {trial.number: trial for trial in self.trials}

    @cached_property
    def ranked_candidates(self) -> list[CandidateMetrics]:
        """Candidates whose evaluation succeeded, best first by the metric of the search."""
        evaluated = [candidate for candidate in self.candidates.values() if candidate.folds]
        return sorted(evaluated, key=lambda candidate: (candidate.mean(self.metric), candidate.trial))

    def best_trial(self, candidate: CandidateMetrics) -> Trial:
        """Return a candidate's best trial."""
        return self.trials_by_number[candidate.trial]

    def fold_values(self, trial: Trial, metric: str) -> list[float]:
        """Return the value of a metric of a trial on each fold.

        Every finished trial has errors; only the best trial of each candidate has other metrics.

        Raises:
            KeyError: the metric needs an evaluation, and the trial was not evaluated.
        """
        return (
            trial.fold_values(metric)
            if metric in ERRORS
            else self.candidates[trial.number].fold_values(metric)
        )

    def metric_display_name(self, metric: str) -> str:
        """Return a metric's name as shown to readers, such as RMSE, NDCG@10, hit rate@10 or coverage."""
        return metric_title(metric, self.n)
