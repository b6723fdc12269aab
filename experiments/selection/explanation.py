"""One paragraph on the choice: why the winner won, what it gave up, and what searching gained.

It holds no times, so that the same search is explained in the same words on every machine.
"""

from collections.abc import Sequence
from statistics import fmean

from experiments.config.offline import Select
from experiments.evaluation.candidate_metrics import GUESSES, LOWER_IS_BETTER, Measures
from experiments.evaluation.confidence_intervals import Interval, interval, paired
from experiments.search.trials import MEGABYTE, Trial
from experiments.selection.rule import Choice
from experiments.selection.search_results import Findings

SHARES = {"coverage"}
NAMED = 3  # of those over budget


def explain(choice: Choice, findings: Findings, select: Select) -> str:
    """The paragraph on what was chosen from the findings by that rule."""
    return " ".join(sentence for sentence in _Telling(choice, findings, select).sentences() if sentence)


class _Telling:
    def __init__(self, choice: Choice, findings: Findings, select: Select) -> None:
        self._choice, self._findings, self._select = choice, findings, select
        self._winner = choice.winner

    def sentences(self) -> list[str]:
        return [self._why(), self._preference(), self._refusals(), self._given_up(), self._gain()]

    def _why(self) -> str:
        """What it won by, and by how much it is ahead of the next algorithm."""
        metric = self._headline()
        own, winner = self._findings.values(self._winner, metric), self._winner
        name = self._findings.name(metric)
        text = f"{winner.label} wins with {name} {_bounded(interval(own), metric)}"
        if len(self._select.weights) > 1:
            weights = ", ".join(
                f"{self._findings.name(key)} {value:g}" for key, value in self._select.weights.items()
            )
            text = f"{winner.label} wins by {weights}; its {name} is {_bounded(interval(own), metric)}"
        rival = self._choice.rival
        if rival is None:
            return f"{text}, of {_trials(self._choice.n_contenders)}."
        difference = paired(own, self._findings.values(rival, metric))
        better = difference.mean < 0 if metric in LOWER_IS_BETTER else difference.mean > 0
        size = _bounded(_absolute(difference), metric)
        certainty = "" if difference.excludes_zero else ", which the folds cannot tell from nothing"
        return (
            f"{text}, {size} {'better' if better else 'worse'} than the next algorithm, {rival.label}"
            f"{certainty}; {_trials(self._choice.n_contenders)} took part."
        )

    def _preference(self) -> str:
        best, winner = self._choice.best, self._winner
        if best.number == winner.number:
            return ""
        metric = self._headline()
        difference = abs(
            fmean(self._findings.values(best, metric)) - fmean(self._findings.values(winner, metric))
        )
        cheaper = (
            f"{_size(winner)} instead of {_size(best)}"
            if self._select.cheaper == "model_bytes"
            else "less time to fit"
        )
        return (
            f"It is preferred to {best.label}, which is {_number(difference, metric)} better: that is within "
            f"one standard error, and it takes {cheaper}."
        )

    def _refusals(self) -> str:
        names = [refused.trial.label for refused in self._choice.over_budget]
        if not names:
            return ""
        told = [*names[:NAMED], *([f"{len(names) - NAMED} more"] if len(names) > NAMED else [])]
        return f"{_listed(told)} {'was' if len(names) == 1 else 'were'} better and over budget."

    def _given_up(self) -> str:
        """In what other serious candidates are better, and by how much."""
        own = self._findings.measured.get(self._winner.number)
        others = [one for one in self._serious() if one.algorithm != self._winner.algorithm]
        if own is None or not own.folds or not others:
            return ""
        parts, compared = [], (self._findings.metric, "ndcg", "coverage", "diversity")
        for metric in compared:
            sign = 1 if metric in LOWER_IS_BETTER else -1
            top = min(others, key=lambda one: sign * one.mean(metric))
            if sign * top.mean(metric) < sign * own.mean(metric):
                parts.append(
                    f"{self._findings.name(metric)} ({_number(own.mean(metric), metric)} against "
                    f"{_number(top.mean(metric), metric)} of {self._findings.trial(top).title})"
                )
        sizes = {one.trial: self._findings.trial(one).model_bytes for one in others}
        least = min(sizes, key=sizes.__getitem__)
        if sizes[least] < self._winner.model_bytes:
            other = self._findings.by_number[least]
            parts.append(f"size ({_size(self._winner)} against {_size(other)} of {other.title})")
        if parts:
            return f"It gives up {_listed(parts)}."
        return f"No other is better in {', '.join(map(self._findings.name, compared))} or size."

    def _gain(self) -> str:
        """What the search found over the parameters that algorithms have where none are given."""
        found = self._findings
        gains = {
            one.trial: paired(one.defaults, found.trial(one).values(found.metric))
            for one in found.leaders
            if one.defaults
        }
        own = gains.get(self._winner.number)
        if own is None:
            return ""
        text = f"Against default parameters the search {_gained(own)} in the {found.name(found.metric)} of it"
        if len(gains) > 1:
            most = max(gains, key=lambda number: gains[number].mean)
            mean = fmean(gain.mean for gain in gains.values())
            text += f", {mean:.4f} on average over {len(gains)} candidates"
            if most != self._winner.number and gains[most].mean > 0:
                text += f", most for {found.by_number[most].title}, {gains[most].mean:.4f}"
        return f"{text}."

    def _headline(self) -> str:
        """The metric that the objective is made of, or that counts most in it."""
        return max(self._select.weights, key=self._select.weights.__getitem__)

    def _serious(self) -> list[Measures]:
        """Those that predict no worse than the baseline does; Random never."""
        metric = self._findings.metric
        usable = [one for one in self._findings.leaders if one.algorithm != GUESSES]
        limit = next((one.mean(metric) for one in usable if one.algorithm == "baseline_only"), None)
        return [one for one in usable if limit is None or one.mean(metric) <= limit]


def _gained(gain: Interval) -> str:
    if abs(gain.mean) < 5e-5:
        return "gained nothing"
    if gain.mean > 0:
        return f"gained {_bounded(gain, 'rmse')}"
    return f"lost {_bounded(_absolute(gain), 'rmse')} (its grid leaves the defaults out)"


def _absolute(told: Interval) -> Interval:
    """Of a difference: its size, with the bounds turned along."""
    return told if told.mean >= 0 else Interval(-told.mean, -told.high, -told.low)


def _bounded(told: Interval, metric: str) -> str:
    return f"{_number(told.mean, metric)} (95%: {_number(told.low, metric)} to {_number(told.high, metric)})"


def _number(value: float, metric: str) -> str:
    return f"{value:.1%}" if metric in SHARES else f"{value:.4f}"


def _size(trial: Trial) -> str:
    return f"{trial.model_bytes / MEGABYTE:.2f} MB"


def _trials(number: int) -> str:
    return f"{number} trial{'s' * (number != 1)}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
