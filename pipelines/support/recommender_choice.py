"""Choice of the recommender from the files of the search, for the stages `measure`, `select` and `record`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan

from experiments.config import Params
from experiments.config.offline import SelectParams
from experiments.evaluation.candidate_record import CandidateMetrics
from experiments.evaluation.metric_names import RATED_NDCG
from experiments.evaluation.user_intervals import UserValues
from experiments.search.metric import SearchMetric
from experiments.search.trials import MEGABYTE, Trial, point_key
from experiments.search.user_scores import UserScores
from experiments.selection.recommender_rule import (
    Budget,
    RecommenderChoice,
    RecommenderTrials,
    choose_recommender,
)
from marquee.interactions.columns import FeedbackType
from pipelines.support.derived_feedback import read_feedback
from pipelines.support.paths import USER_SCORES

Candidates = Mapping[int, CandidateMetrics]  # by number of the trial


@dataclass(frozen=True)
class ComparedTrials:
    """Trials with lists that were compared, and the choice among them.

    Attributes:
        trials: the trials, in the order of `compared`; no two have the same algorithm and parameters.
        compared: their values, costs and budgets.
        choice: the chosen one, and the comparisons that explain why.
        metric: the metric that was compared: that of the search, or NDCG if that is a set of several.
    """

    trials: Sequence[Trial]
    compared: RecommenderTrials
    choice: RecommenderChoice
    metric: str

    @property
    def winner(self) -> Trial:
        """The recommender."""
        return self.trials[self.choice.winner.trial]


def choose_from_search(params: Params, trials: Sequence[Trial], candidates: Candidates) -> ComparedTrials:
    """Choose the recommender among the trials of the last search.

    Args:
        params: rule, budgets and metric.
        trials: all trials; those without lists cannot be chosen.
        candidates: measured trials. Costs that only these have are unknown for the others.

    Raises:
        ConfigError: no trial has lists.
        MarqueeError: no trial is within all budgets.
    """
    scores = UserScores.load(USER_SCORES)
    return compare_trials(params, trials, candidates, scores, read_feedback().feedback)


def compare_trials(
    params: Params,
    trials: Sequence[Trial],
    candidates: Candidates,
    scores: UserScores,
    feedback: FeedbackType,
) -> ComparedTrials:
    """Choose the recommender among trials.

    Args:
        params: rule, budgets and metric.
        trials: all trials; those without lists cannot be chosen.
        candidates: measured trials. Costs that only these have are unknown for the others.
        scores: values of single users for every trial.
        feedback: kind of feedback.

    Raises:
        ConfigError: no trial has lists.
        MarqueeError: no trial is within all budgets.
    """
    search_metric = SearchMetric.parse(params.search.metric_weights)
    metric = search_metric.list_metric
    distinct = _drop_repeated_points(trials)
    compared = RecommenderTrials(
        [point_key(trial.algorithm, trial.parameters) for trial in distinct],
        [trial.algorithm for trial in distinct],
        _select_values(distinct, scores, metric),
        [_rated_ndcg(trial) for trial in distinct],
        [_cost(trial, params.select) for trial in distinct],
        _build_budgets(distinct, candidates, params.select),
        None if search_metric.user_metric else [search_metric.loss(t.mean_values()) for t in distinct],
    )
    return ComparedTrials(
        distinct, compared, choose_recommender(compared, feedback, params.select.margin), metric
    )


def _drop_repeated_points(trials: Sequence[Trial]) -> list[Trial]:
    """Return one trial of each point, which random samplers repeat: that with most evaluated users."""
    best: dict[str, Trial] = {}
    for trial in sorted(trials, key=_count_users, reverse=True):
        if trial.failure is None:
            best.setdefault(point_key(trial.algorithm, trial.parameters), trial)
    return sorted(best.values(), key=lambda trial: trial.number)


def _count_users(trial: Trial) -> int:
    return sum(part.n_users for part in trial.parts)


def _select_values(trials: Sequence[Trial], scores: UserScores, metric: str) -> UserValues:
    rows = [trial.number for trial in trials]
    return UserValues(scores.values(metric)[rows], scores.part, scores.user)


def _rated_ndcg(trial: Trial) -> float:
    """Return the mean over the parts; NaN for implicit feedback and for trials that were dropped early."""
    is_known = trial.has_lists and all(RATED_NDCG in part.metrics for part in trial.parts)
    return trial.mean(RATED_NDCG) if is_known else nan


def _cost(trial: Trial, select: SelectParams) -> float:
    return _fit_seconds(trial) if select.cost_metric == "fit_seconds" else _megabytes(trial)


def _build_budgets(
    trials: Sequence[Trial], candidates: Candidates, select: SelectParams
) -> tuple[Budget, ...]:
    """Return the budgets that apply to recommenders; the time of a prediction is the predictor's."""
    measured = [candidates.get(trial.number) for trial in trials]
    budgets = (
        ("a fit takes", "s", select.max_fit_seconds, [_fit_seconds(trial) for trial in trials]),
        ("a model takes", "MB", select.max_model_megabytes, [_megabytes(trial) for trial in trials]),
        ("all lists take", "s", select.max_top_n_seconds, [_top_n_seconds(each) for each in measured]),
        ("fitting takes", "MB of memory", select.max_peak_megabytes, [_peak(each) for each in measured]),
    )
    return tuple(
        Budget(subject, unit, limit, costs) for subject, unit, limit, costs in budgets if limit is not None
    )


def _fit_seconds(trial: Trial) -> float:
    return trial.cost.fit_seconds if trial.cost else nan


def _megabytes(trial: Trial) -> float:
    return trial.model_bytes / MEGABYTE if trial.parts or trial.folds else nan


def _top_n_seconds(candidate: CandidateMetrics | None) -> float:
    return candidate.cost.top_n_seconds if candidate and candidate.cost else nan


def _peak(candidate: CandidateMetrics | None) -> float:
    if candidate is None or candidate.cost is None or candidate.cost.peak_bytes is None:
        return nan
    return candidate.cost.peak_bytes / MEGABYTE
