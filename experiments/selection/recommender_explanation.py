"""Explanation of the recommender in one paragraph: its value and lead, why it won, and what it gives up.

Every number is that of the validation parts. Differences have intervals that are paired by user, and a
difference that may be chance is called so. The paragraph contains no durations, so that the same
search gives the same text on every machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, inf, isfinite, nan

from experiments.evaluation.phrases import (
    FLOOR_NAMES,
    MAY_BE_CHANCE,
    MOST_POPULAR,
    describe_too_few_users,
    join_phrases,
    name_first,
)
from experiments.evaluation.user_intervals import UserInterval
from experiments.selection.recommender_rule import Contender, RecommenderChoice, RecommenderTrials
from marquee.top_n import MAX_PERSONAL_AGREEMENT

NEGLIGIBLE = 0.0005  # relative difference that is not worth a number


@dataclass(frozen=True)
class TrialDescriptions:
    """Names and further properties of the trials; position k of every sequence describes trial k.

    Attributes:
        metric: name of the metric of the search, such as "NDCG@10".
        split: what it was measured on, such as "three random validation parts".
        labels: names of the trials, such as "EASE (reg=400)".
        costs: costs as text, such as "3.20 MB"; empty if they differ from run to run.
        objective: the metrics of the search with their weights, such as "0.7 NDCG@10, 0.3 coverage", if they
            are several; `metric` is then what was compared.
        properties: values of further metrics by name; higher is better, NaN where a value is unknown.
        error: name of the error of predicted ratings, such as "RMSE".
        predictor: trial with the lowest error; None for implicit feedback.
        predictor_value: its metric, used if it lacks values because it was dropped early; NaN if unknown.
        list_agreement: share of the items that two users' lists of the winner have in common; NaN if unknown.
    """

    metric: str
    split: str
    labels: Sequence[str]
    costs: Sequence[str]
    properties: Mapping[str, Sequence[float]] = field(default_factory=dict)
    objective: str = ""
    error: str = "RMSE"
    predictor: int | None = None
    predictor_value: float = nan
    list_agreement: float = nan


def explain_recommender(
    trials: RecommenderTrials, choice: RecommenderChoice, descriptions: TrialDescriptions
) -> str:
    """Return a paragraph that explains why a recommender was chosen among the trials."""
    explanation = _Explanation(trials, choice, descriptions)
    return " ".join(sentence for sentence in explanation.sentences() if sentence)


class _Explanation:
    def __init__(
        self, trials: RecommenderTrials, choice: RecommenderChoice, descriptions: TrialDescriptions
    ) -> None:
        self._trials, self._choice, self._descriptions = trials, choice, descriptions
        self._winner, self._leader, self._popularity = choice.winner, choice.leader, choice.popularity
        self._metric, self._label = descriptions.metric, descriptions.labels[choice.winner.trial]

    def sentences(self) -> list[str]:
        return [
            self._defeat_by_popularity(),
            self._value_and_lead(),
            self._too_few_users(),
            self._preference(),
            self._ratio_to_popularity(),
            self._lists_of_the_predictor(),
            self._not_personal(),
            self._over_budget(),
            self._trade_offs(),
        ]

    def _defeat_by_popularity(self) -> str:
        """State that the winner does not beat popularity."""
        popularity = self._popularity
        if popularity is None or popularity.is_beaten:
            return ""
        if popularity.trial == self._winner.trial:
            lead = self._trials.values.difference(self._leader.trial, popularity.trial)
            is_beaten = lead.excludes_zero and lead.mean > 0
            return "" if is_beaten else f"No recommender is shown to beat {MOST_POPULAR}."
        values = f"{self._metric} {self._winner.value.mean:.4f} compared with {popularity.value.mean:.4f}"
        if popularity.difference.excludes_zero:
            return f"The lists of {self._label} are worse than {MOST_POPULAR}: {values}."
        return (
            f"The lists of {self._label} are not shown to beat {MOST_POPULAR}: {values}, a difference of "
            f"{popularity.difference.mean:.4f} {_bounds(popularity.difference)}, {MAY_BE_CHANCE}."
        )

    def _value_and_lead(self) -> str:
        """State the winner's value, and its lead over the best trial of another algorithm."""
        value = self._winner.value
        objective = self._descriptions.objective
        role = f"is the recommender by {objective}; its {self._metric} is"
        if not objective:
            role = f"is the recommender: {self._metric}"
        text = (
            f"{self._label} {role} {value.mean:.4f} {_bounds(value)}, measured "
            f"with {value.n_users} users on {self._descriptions.split}"
        )
        if self._choice.runner_up is None:
            return f"{text}; {self._count_trials()}."
        return f"{text}, {self._compare(self._choice.runner_up)}; {self._count_trials()}."

    def _count_trials(self) -> str:
        n_trials, n_dropped = self._choice.n_trials, self._choice.n_dropped
        if n_trials == 1:
            return "no other trial was compared"
        text = f"{n_trials} trials were compared"
        if not n_dropped:
            return text
        return f"{text}, of which {n_dropped} {'was' if n_dropped == 1 else 'were'} dropped early"

    def _compare(self, other: Contender) -> str:
        """Return how much higher or lower the winner's value is than that of the best other algorithm."""
        difference = self._trials.values.difference(self._winner.trial, other.trial)
        name = self._descriptions.labels[other.trial]
        label = f"the best of another algorithm, {name} ({other.value.mean:.4f})"
        size = _magnitude(difference)
        if f"{size.mean:.4f}" == "0.0000":
            return f"equal to that of {label} in four decimals"
        text = f"{size.mean:.4f} {_bounds(size)} {'higher' if difference.mean > 0 else 'lower'}"
        return f"{text} than that of {label}{'' if difference.excludes_zero else f', {MAY_BE_CHANCE}'}"

    def _too_few_users(self) -> str:
        value = self._winner.value
        return "" if value.has_enough_users else describe_too_few_users(value.n_users)

    def _preference(self) -> str:
        """State why a trial with a lower mean was preferred to the leader."""
        if self._choice.is_leader_preferred:
            return ""
        leader, margin = self._leader, 100 * self._choice.margin
        max_loss = min(ceil(1e4 * max(self._winner.max_relative_loss, 0.0)) / 100, margin)
        return (
            f"It is preferred to {self._descriptions.labels[leader.trial]}, which leads with "
            f"{leader.value.mean:.4f}: its loss is at most {max_loss:.4g}% with 95% confidence, within the "
            f"margin of {margin:.4g}%, and {self._advantage()}."
        )

    def _advantage(self) -> str:
        """State in what the winner is better than the leader."""
        pair = self._winner.trial, self._leader.trial
        if self._choice.feedback == "explicit":
            rated = _distinct_numbers(*(self._trials.rated_values[trial] for trial in pair))
            return f"it orders the items that users rated better ({rated[0]} compared with {rated[1]})"
        costs = [self._descriptions.costs[trial] for trial in pair]
        return f"it takes {costs[0]} instead of {costs[1]}" if all(costs) else "it is faster to fit"

    def _ratio_to_popularity(self) -> str:
        popularity = self._popularity
        if popularity is None or not popularity.is_beaten:
            return ""
        if popularity.value.mean == 0:
            return f"It beats {MOST_POPULAR}, whose {self._metric} is 0."
        return (
            f"That is {popularity.ratio:.2f} times the {self._metric} of {MOST_POPULAR} "
            f"({popularity.value.mean:.4f})."
        )

    def _lists_of_the_predictor(self) -> str:
        """State what the lists of the trial with the lowest error would have cost."""
        predictor, values, error = self._descriptions.predictor, self._trials.values, self._descriptions.error
        if predictor is None:
            return ""
        if predictor == self._winner.trial:
            return f"It also has the lowest {error}."
        label = self._descriptions.labels[predictor]
        if not values.is_complete[predictor]:
            return self._lists_of_dropped_predictor(label)
        difference, mean = values.difference(predictor, self._winner.trial), values.mean(predictor)
        text = f"The lists of the trial with the lowest {error}, {label}, reach {self._metric} {mean:.4f}"
        relative = abs(difference.mean) / self._winner.value.mean if self._winner.value.mean > 0 else 0.0
        if relative < NEGLIGIBLE:
            return f"{text}, about as much."
        change = f"{relative:.1%} {'less' if difference.mean < 0 else 'more'}"
        return f"{text}, {change}{'' if difference.excludes_zero else f', {MAY_BE_CHANCE}'}."

    def _lists_of_dropped_predictor(self, label: str) -> str:
        """State the same of a trial that was clearly worse, and so was not compared to the end."""
        value, mean = self._descriptions.predictor_value, self._winner.value.mean
        if not isfinite(value) or not mean > 0:
            return ""
        change = f"{abs(1 - value / mean):.1%} {'less' if value <= mean else 'more'}"
        return (
            f"The lists of {label}, which has the lowest {self._descriptions.error}, reach {self._metric} "
            f"{value:.4f}, {change}."
        )

    def _not_personal(self) -> str:
        share = self._descriptions.list_agreement
        if not share > MAX_PERSONAL_AGREEMENT:
            return ""
        return f"It is not personal: the lists of two users have {share:.0%} of their items in common."

    def _over_budget(self) -> str:
        """Name the trials that have a better mean but exceed a budget."""
        labels = [self._descriptions.labels[other.trial] for other in self._choice.over_budget]
        if not labels:
            return ""
        verb = "has better lists but exceeds" if len(labels) == 1 else "have better lists but exceed"
        return f"{name_first(labels)} {verb} a budget."

    def _trade_offs(self) -> str:
        """Name the properties in which other competitive algorithms are better."""
        others, floors = self._competitive_others(), self._floors()
        names = [name for name in self._descriptions.properties if self._is_known(name, others)]
        if not names:
            return ""
        beaten = join_phrases([FLOOR_NAMES[name] for name in floors]) if floors else ""
        group = f" that ranks above {beaten}" if floors else ""
        better = [text for name in names if (text := self._trade_off(name, others))]
        if better:
            return f"Another algorithm{group} is better in {join_phrases(better)}."
        return f"No other algorithm{group} is better in {join_phrases(names, 'or')}."

    def _trade_off(self, name: str, others: Sequence[int]) -> str:
        values = self._descriptions.properties[name]
        own = values[self._winner.trial]
        best = max((trial for trial in others if isfinite(values[trial])), key=lambda trial: values[trial])
        if not values[best] > own:
            return ""
        numbers = _distinct_numbers(values[best], own)
        return f"{name} ({numbers[0]} compared with {numbers[1]}: {self._descriptions.labels[best]})"

    def _is_known(self, name: str, others: Sequence[int]) -> bool:
        values = self._descriptions.properties[name]
        return isfinite(values[self._winner.trial]) and any(isfinite(values[trial]) for trial in others)

    def _floors(self) -> dict[str, float]:
        """Return the best mean of each algorithm that every other one should beat."""
        best = {name: self._trials.best_trial_of(name) for name in FLOOR_NAMES}
        return {name: self._trials.means[trial] for name, trial in best.items() if trial is not None}

    def _competitive_others(self) -> list[int]:
        """Return the best trial of each other algorithm, if its lists are better than those of the floors."""
        floor = max(self._floors().values(), default=-inf)
        best = {self._trials.algorithms[self._winner.trial]: self._winner.trial}
        for contender in self._choice.contenders:
            if contender.value.mean > floor:
                best.setdefault(self._trials.algorithms[contender.trial], contender.trial)
        return list(best.values())[1:]


def _magnitude(difference: UserInterval) -> UserInterval:
    """Return the size of a difference; a negative one changes its sign, and its bounds change places."""
    if difference.mean >= 0:
        return difference
    return replace(difference, mean=-difference.mean, low=-difference.high, high=-difference.low)


def _bounds(interval: UserInterval) -> str:
    return f"(95% CI {interval.low:.4f} to {interval.high:.4f})"


def _distinct_numbers(first: float, second: float) -> tuple[str, str]:
    """Return two different numbers with so many decimals, at least four, that they look different."""
    for n_decimals in range(4, 12):
        texts = f"{first:.{n_decimals}f}", f"{second:.{n_decimals}f}"
        if texts[0] != texts[1]:
            break
    return texts
