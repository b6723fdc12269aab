"""Measured trials of a search in the order of their lists or errors, and comparisons between them.

Lists are compared user by user, if both trials were evaluated on all validation parts; a race drops the
others early.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, nan

from experiments.evaluation.candidate_record import CandidateMetrics
from experiments.evaluation.metric_names import ERRORS
from experiments.evaluation.phrases import FLOOR_NAMES, join_phrases
from experiments.evaluation.user_intervals import UserInterval
from experiments.search.trials import Trial, point_key
from experiments.selection.recommender_rule import RecommenderChoice, RecommenderTrials
from experiments.selection.search_results import SearchResults
from marquee.algorithms.registry import POPULARITY


@dataclass(frozen=True)
class Selection:
    """Selected trials, and the comparison by which the recommender was selected.

    Attributes:
        recommender: trial of the recommender.
        predictor: trial of the predictor; None for implicit feedback.
        compared: values by user of all trials with lists; None if the search had no lists.
        choice: the choice among them.
        labels: name of each compared trial.
    """

    recommender: Trial
    predictor: Trial | None = None
    compared: RecommenderTrials | None = None
    choice: RecommenderChoice | None = None
    labels: Sequence[str] = ()


class ListComparison:
    """Lists of the measured trials on the validation parts.

    Args:
        results: results of the search and of the measurement.
        selection: selected trials.
    """

    def __init__(self, results: SearchResults, selection: Selection) -> None:
        self.results, self.selection = results, selection
        self.metric = results.search_metric.list_metric

    @cached_property
    def ranked(self) -> list[CandidateMetrics]:
        """The best trial of each algorithm by lists, and the recommender; best first."""
        results = self.results
        best = results.ranked_recommenders or results.ranked_predictors
        return self._sort(_add_selected(best, self.selection.recommender, results))

    @property
    def order_title(self) -> str:
        """Name of what `ranked` is ordered by: the metric, or several with weights, of the search."""
        search_metric, n = self.results.search_metric, self.results.n
        is_set_of_lists = search_metric.uses_lists and search_metric.user_metric is None
        return search_metric.title(n) if is_set_of_lists else self.results.metric_display_name(self.metric)

    @cached_property
    def floors(self) -> dict[str, float]:
        """Values of popularity and Random, as far as they were measured: what every list should beat."""
        values = {candidate.algorithm: self.value(candidate) for candidate in reversed(self.ranked)}
        return {name: values[name] for name in FLOOR_NAMES if isfinite(values.get(name, nan))}

    def value(self, candidate: CandidateMetrics) -> float:
        """Return the mean of the metric over the validation parts."""
        interval = self.interval(candidate)
        return candidate.mean(self.metric) if interval is None else interval.mean

    def interval(self, candidate: CandidateMetrics) -> UserInterval | None:
        """Return the mean with its interval by user; None if the trial was dropped early."""
        row, compared = self._row(candidate), self.selection.compared
        return None if row is None or compared is None else compared.values.interval(row)

    def difference(self, candidate: CandidateMetrics, reference: CandidateMetrics) -> UserInterval | None:
        """Return the difference paired by user; None if one of the two was dropped early."""
        rows, compared = (self._row(candidate), self._row(reference)), self.selection.compared
        if compared is None or rows[0] is None or rows[1] is None:
            return None
        return compared.values.difference(rows[0], rows[1])

    def popularity_gain(self) -> UserInterval | None:
        """Return how much better the recommender's lists are than popularity, paired by user.

        A race never drops popularity, but its evaluation is incomplete if `search.max_minutes` ended the
        search. Then the users count that it was evaluated with.
        """
        compared, recommender = self.selection.compared, self.selection.recommender
        if compared is None or POPULARITY not in compared.algorithms:
            return None
        popularity = compared.algorithms.index(POPULARITY)
        winner = compared.keys.index(point_key(recommender.algorithm, recommender.parameters))
        return compared.values.difference(winner, popularity)

    @property
    def is_popularity_incomplete(self) -> bool:
        """True if the search ended before popularity was evaluated on all parts."""
        trials = [trial for trial in self.results.trials if trial.algorithm == POPULARITY]
        return bool(trials) and not any(trial.has_lists for trial in trials)

    def remarks(self, candidate: CandidateMetrics) -> list[str]:
        """Return what has to be known of a row beside its values."""
        remarks, value = [], self.value(candidate)
        below = [name for name, floor in self.floors.items() if value < floor]
        if below:
            remarks.append(f"below {join_phrases([FLOOR_NAMES[name] for name in below])}")
        if not candidate.is_personal:
            remarks.append("not personal")
        return remarks

    def is_competitive(self, candidate: CandidateMetrics) -> bool:
        """Return True if the lists are better than those of popularity and Random."""
        return self.value(candidate) > max(self.floors.values(), default=-inf)

    def _row(self, candidate: CandidateMetrics) -> int | None:
        """Return the position among the compared trials; None if not all parts were evaluated."""
        trial, compared = self.results.trial_of(candidate), self.selection.compared
        key = point_key(trial.algorithm, trial.parameters)
        if compared is None or key not in compared.keys:
            return None
        row = compared.keys.index(key)
        return row if compared.values.is_complete[row] else None

    def _sort(self, candidates: Sequence[CandidateMetrics]) -> list[CandidateMetrics]:
        metric = self.results.search_metric
        names = metric.names if metric.uses_lists else (self.metric,)

        def loss(candidate: CandidateMetrics) -> float:
            if names == (self.metric,):
                return -self.value(candidate)
            return metric.loss({name: candidate.mean(name) for name in names})

        return sorted(candidates, key=lambda candidate: (loss(candidate), candidate.trial))


def rank_predictors(results: SearchResults, predictor: Trial | None) -> list[CandidateMetrics]:
    """Return the trial of each algorithm with the lowest error, and the predictor; best first.

    Empty for implicit feedback.
    """
    if predictor is None:
        return []
    candidates = _add_selected(results.ranked_predictors, predictor, results)
    return sorted(candidates, key=lambda candidate: (candidate.mean(results.error), candidate.trial))


def count_folds(candidates: Sequence[CandidateMetrics]) -> int:
    """Return the number of folds on which errors were measured."""
    return max((len(candidate.folds) for candidate in candidates), default=0)


def error_columns(results: SearchResults) -> tuple[str, ...]:
    """Return the errors, that of the search first."""
    return (results.error, *(name for name in ERRORS if name != results.error))


def _add_selected(
    candidates: Sequence[CandidateMetrics], selected: Trial, results: SearchResults
) -> list[CandidateMetrics]:
    """Return the candidates and the measurement of the selected trial, if it is not one of them."""
    measured = results.candidates.get(selected.number)
    is_new = measured is not None and measured.failure is None and measured not in candidates
    return [*candidates, measured] if is_new and measured is not None else list(candidates)
