"""Selection of the recommender: the trial with the best lists, or one that is not worse but better otherwise.

    within the budgets ─► best mean leads ─► non-inferior: at most `margin` worse, with 95% confidence
                                               ├─ explicit feedback: best order of the items that users rated
                                               └─ implicit feedback: cheapest

All comparisons are paired by user (`experiments.evaluation.user_intervals`). With too few evaluated users,
nothing is known to be non-inferior, and the leader wins. The order in which trials are listed has no effect:
equal trials are ordered by their other values and then by their keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isnan, nan

from experiments.evaluation.user_intervals import UserInterval, UserValues
from marquee.algorithms.registry import POPULARITY
from marquee.errors import ConfigError, DataError, MarqueeError
from marquee.interactions.columns import FeedbackType


@dataclass(frozen=True)
class Budget:
    """Hard limit on a cost. An unknown cost (NaN) is never within it.

    Attributes:
        subject: start of the sentence about a cost, such as "a fit takes".
        unit: unit of the cost, such as "s" or "MB of memory".
        limit: highest cost that is allowed.
        costs: cost of each trial.
    """

    subject: str
    unit: str
    limit: float
    costs: Sequence[float]

    def find_violation(self, trial: int) -> str | None:
        """Return a description of the violation by a trial, or None if it is within the budget.

        >>> Budget("a fit takes", "s", 10, [9.0, 12.5]).find_violation(1)
        'a fit takes 12.5 s, the budget is 10 s'
        """
        cost = float(self.costs[trial])
        if cost <= self.limit:
            return None
        text = "an unknown number of" if isnan(cost) else f"{cost:.1f}" if cost >= 1 else f"{cost:.2g}"
        return f"{self.subject} {text} {self.unit}, the budget is {self.limit:g} {self.unit.split()[0]}"


@dataclass(frozen=True)
class RecommenderTrials:
    """Trials that can become the recommender; position k of every sequence describes trial k.

    Attributes:
        keys: text that identifies algorithm and parameters; no two are equal.
        algorithms: name of the algorithm in the registry.
        values: metric of the search by user and validation part. Trials that lack values, because they
            failed or were dropped early, cannot be selected.
        rated_values: mean NDCG over rated held-out items only; NaN where it is unknown, as it is for implicit
            feedback.
        costs: cost of each trial, in the unit of `select.cost_metric`; NaN where it is unknown.
        budgets: hard limits.
        losses: numbers by which the trials are ordered instead of the values, lower first, if the metric of
            the search is a set of several; None otherwise. They have no intervals, so the best trial wins.
            NaN where a metric is missing, such as an error that diverged; such a trial cannot be selected.
    """

    keys: Sequence[str]
    algorithms: Sequence[str]
    values: UserValues
    rated_values: Sequence[float]
    costs: Sequence[float]
    budgets: Sequence[Budget] = ()
    losses: Sequence[float] | None = None

    def __post_init__(self) -> None:
        lengths = {len(self.keys), len(self.algorithms), len(self.rated_values), len(self.costs)}
        lengths |= {len(budget.costs) for budget in self.budgets}
        if lengths != {self.values.n_models}:
            raise DataError(
                f"each of {self.values.n_models} trials needs one key, algorithm, rated value and cost "
                f"(got {sorted(lengths)})"
            )
        if len(set(self.keys)) < len(self.keys):
            repeated = next(key for key in self.keys if list(self.keys).count(key) > 1)
            raise DataError(f"two trials have the key '{repeated}'; each must have its own parameters")

    @cached_property
    def means(self) -> tuple[float, ...]:
        """Mean of the metric for each trial."""
        return tuple(self.values.mean(trial) for trial in range(len(self.keys)))

    def rank(self) -> list[int]:
        """Return the trials that have all values, best first; of equal ones, the cheapest first."""
        complete = [trial for trial in range(len(self.keys)) if self._is_complete(trial)]
        return sorted(complete, key=lambda trial: (self._loss(trial), self._cost(trial), self.keys[trial]))

    def best_trial_of(self, algorithm: str) -> int | None:
        """Return the best trial of an algorithm, whatever it costs, or None if none has all values."""
        return next((trial for trial in self.rank() if self.algorithms[trial] == algorithm), None)

    def find_violation(self, trial: int) -> str | None:
        """Return a description of the first budget that a trial exceeds, or None."""
        return next((text for budget in self.budgets if (text := budget.find_violation(trial))), None)

    def disadvantage(self, trial: int, feedback: FeedbackType) -> float:
        """Return the number that is lowest for the preferred one of several non-inferior trials."""
        return self._cost(trial) if feedback == "implicit" else _or_infinity(-float(self.rated_values[trial]))

    def _is_complete(self, trial: int) -> bool:
        return bool(self.values.is_complete[trial]) and not isnan(self._loss(trial))

    def _loss(self, trial: int) -> float:
        return -self.means[trial] if self.losses is None else self.losses[trial]

    def _cost(self, trial: int) -> float:
        return _or_infinity(float(self.costs[trial]))


@dataclass(frozen=True)
class Contender:
    """A trial within the budgets, compared with the leader.

    Attributes:
        trial: number of the trial in `RecommenderTrials`.
        value: its mean.
        loss: the leader's mean minus its own.
        max_relative_loss: one-sided 95% bound of the loss, as a share of the leader's mean; infinite with too
            few evaluated users, and 0 for the leader.
    """

    trial: int
    value: UserInterval
    loss: UserInterval
    max_relative_loss: float


@dataclass(frozen=True)
class PopularityComparison:
    """The winner beside the most popular items, the least that a recommender must beat.

    Attributes:
        trial: the best trial of the algorithm `popularity`.
        value: its mean.
        difference: the winner's mean minus this one; 0 if popularity itself wins.
    """

    trial: int
    value: UserInterval
    difference: UserInterval

    @property
    def is_beaten(self) -> bool:
        """True if the lists of the winner are better beyond chance."""
        return self.difference.excludes_zero and self.difference.mean > 0

    @property
    def ratio(self) -> float:
        """The winner's mean divided by that of popularity; NaN if that is 0."""
        return 1 + self.difference.mean / self.value.mean if self.value.mean > 0 else nan


@dataclass(frozen=True)
class OverBudgetTrial:
    """A trial that would lead but exceeds a budget, and a description of the budget."""

    trial: int
    violation: str


@dataclass(frozen=True)
class RecommenderChoice:
    """The winner, and everything that explains why it was chosen.

    Attributes:
        winner: the selected trial.
        leader: the trial with the best mean within the budgets.
        contenders: all trials within the budgets, best first.
        runner_up: the best trial of another algorithm than the winner's.
        popularity: comparison with the most popular items; None if no trial recommends them.
        over_budget: trials with a better mean than the leader.
        n_trials: number of trials.
        n_dropped: how many of them lack values, because they failed or were dropped early.
        margin: highest loss of a non-inferior trial, as a share of the leader's mean.
        feedback: kind of feedback.
    """

    winner: Contender
    leader: Contender
    contenders: tuple[Contender, ...]
    runner_up: Contender | None
    popularity: PopularityComparison | None
    over_budget: tuple[OverBudgetTrial, ...]
    n_trials: int
    n_dropped: int
    margin: float
    feedback: FeedbackType

    @property
    def is_leader_preferred(self) -> bool:
        """True if the leader wins; otherwise a trial that is non-inferior has another advantage."""
        return self.winner.trial == self.leader.trial

    @property
    def non_inferior(self) -> tuple[Contender, ...]:
        """Trials that are at most `margin` worse than the leader, with 95% confidence; the leader is one."""
        return tuple(contender for contender in self.contenders if self.is_non_inferior(contender))

    def is_non_inferior(self, contender: Contender) -> bool:
        """Return True if a trial is at most `margin` worse than the leader, with 95% confidence."""
        return contender.max_relative_loss <= self.margin


def choose_recommender(trials: RecommenderTrials, feedback: FeedbackType, margin: float) -> RecommenderChoice:
    """Choose the recommender.

    Args:
        trials: trials with their values and costs.
        feedback: explicit: among non-inferior trials, the one with the best order of rated items wins;
            implicit: the cheapest.
        margin: highest loss of a non-inferior trial, as a share of the leader's mean.

    Raises:
        ConfigError: no trial has lists for all validation parts.
        MarqueeError: no trial is within all budgets.
    """
    ranked = trials.rank()
    if not ranked:
        raise ConfigError(
            "no trial has lists for all validation parts, so none can become the recommender; "
            "results/search.json has the reasons"
        )
    violations = {trial: text for trial in ranked if (text := trials.find_violation(trial))}
    eligible = [trial for trial in ranked if trial not in violations]
    if not eligible:
        best = ranked[0]
        raise MarqueeError(
            f"none of {len(ranked)} trials is within the budgets (the best, {trials.keys[best]}: "
            f"{violations[best]}); raise the budgets of select in params.yaml"
        )
    contenders = tuple(_compare_with_leader(trials, trial, eligible[0]) for trial in eligible)
    winner = min(  # the first of equal ones, which are in the order of `rank`
        (contender for contender in contenders if contender.max_relative_loss <= margin),
        key=lambda contender: trials.disadvantage(contender.trial, feedback),
    )
    others = (c for c in contenders if trials.algorithms[c.trial] != trials.algorithms[winner.trial])
    return RecommenderChoice(
        winner,
        contenders[0],
        contenders,
        next(others, None),
        _compare_with_popularity(trials, winner.trial),
        tuple(OverBudgetTrial(trial, violations[trial]) for trial in ranked[: ranked.index(eligible[0])]),
        len(trials.keys),
        len(trials.keys) - len(ranked),
        margin,
        feedback,
    )


def _compare_with_leader(trials: RecommenderTrials, trial: int, leader: int) -> Contender:
    values = trials.values
    value, loss = values.interval(trial), values.difference(leader, trial)
    if trial == leader:
        return Contender(trial, value, loss, 0.0)
    if not loss.has_enough_users or trials.losses is not None:
        return Contender(trial, value, loss, inf)
    bound, best = loss.upper_bound(), trials.means[leader]
    return Contender(trial, value, loss, bound / best if best > 0 else inf if bound > 0 else 0.0)


def _compare_with_popularity(trials: RecommenderTrials, winner: int) -> PopularityComparison | None:
    trial = trials.best_trial_of(POPULARITY)
    if trial is None:
        return None
    values = trials.values
    return PopularityComparison(trial, values.interval(trial), values.difference(winner, trial))


def _or_infinity(number: float) -> float:
    return inf if isnan(number) else number
