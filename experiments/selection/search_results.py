"""Everything that one search and its measuring found: what is chosen from, explained and drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from experiments.evaluation.candidate_metrics import ERRORS, Measures
from experiments.search.trials import Trial

ABBREVIATIONS = {"rmse": "RMSE", "mae": "MAE", "ndcg": "NDCG", "map": "MAP", "mrr": "MRR"}
OF_LISTS = ("ndcg", "recall", "precision", "map", "mrr", "hit_rate")


@dataclass(frozen=True)
class Findings:
    """The trials of a search, and the measures of the best of each candidate."""

    trials: Sequence[Trial]
    measured: Mapping[int, Measures] = field(default_factory=dict)  # by the trial's number
    metric: str = "rmse"  # rmse or mae: the search's own
    n: int = 10  # places of a list that count
    relevant_from: float = 4.0  # stars
    leakage: Mapping[str, Any] | None = None  # the moment, and the orders of candidates before and after

    @cached_property
    def by_number(self) -> dict[int, Trial]:
        """The trials by their number."""
        return {trial.number: trial for trial in self.trials}

    @cached_property
    def leaders(self) -> list[Measures]:
        """What was measured without fault, best first by the search's metric."""
        usable = [one for one in self.measured.values() if one.folds]
        return sorted(usable, key=lambda one: (one.mean(self.metric), one.trial))

    def trial(self, one: Measures) -> Trial:
        """The trial that was measured."""
        return self.by_number[one.trial]

    def values(self, trial: Trial, metric: str) -> list[float]:
        """A metric of a trial on each fold: every trial has errors, measured ones have all."""
        return trial.values(metric) if metric in ERRORS else self.measured[trial.number].values(metric)

    def name(self, metric: str) -> str:
        """A metric as a person reads it: RMSE, NDCG@10, hit rate@10, coverage."""
        name = ABBREVIATIONS.get(metric, metric.replace("_", " "))
        return f"{name}@{self.n}" if metric in OF_LISTS else name
