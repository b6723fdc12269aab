"""Explanation of the choice, in one paragraph: why the winner won, its trade-offs, and the gain from tuning.

It contains no durations, so that the same search gives the same text on every machine.
"""

from collections.abc import Sequence
from statistics import fmean

from experiments.config.offline import SelectParams
from experiments.evaluation.candidate_record import RANDOM_BASELINE, CandidateMetrics
from experiments.evaluation.fold_intervals import MeanInterval, mean_interval, paired_fold_difference
from experiments.evaluation.metric_names import LOWER_IS_BETTER
from experiments.search.trials import MEGABYTE, Trial
from experiments.selection.rule import Choice
from experiments.selection.search_results import SearchResults

PERCENTAGES = {"coverage"}
MAX_NAMED_OVER_BUDGET = 3
NEGLIGIBLE_GAIN = 5e-5  # rounds to 0.0000


def explain_choice(choice: Choice, results: SearchResults, select: SelectParams) -> str:
    """Return a paragraph that explains a choice, which the rule of params.yaml made from the results."""
    explanation = _Explanation(choice, results, select)
    return " ".join(sentence for sentence in explanation.sentences() if sentence)


class _Explanation:
    def __init__(self, choice: Choice, results: SearchResults, select: SelectParams) -> None:
        self._choice, self._results, self._select = choice, results, select
        self._winner = choice.winner

    def sentences(self) -> list[str]:
        return [
            self._reason(),
            self._preference(),
            self._over_budget(),
            self._trade_offs(),
            self._tuning_gain(),
        ]

    def _reason(self) -> str:
        """State the winner's value and its lead over the runner-up."""
        metric = self._main_metric()
        values = self._results.fold_values(self._winner, metric)
        name = self._results.metric_display_name(metric)
        value = _with_bounds(mean_interval(values), metric)
        text = f"{self._winner.label} wins with {name} {value}"
        weights = self._select.objective_weights
        if len(weights) > 1:
            objective = ", ".join(
                f"{self._results.metric_display_name(key)} {weights[key]:g}" for key in weights
            )
            text = f"{self._winner.label} wins by {objective}; its {name} is {value}"
        runner_up = self._choice.runner_up
        if runner_up is None:
            return f"{text}, out of {_count_trials(self._choice.n_trials)}."
        difference = paired_fold_difference(values, self._results.fold_values(runner_up, metric))
        better = difference.mean < 0 if metric in LOWER_IS_BETTER else difference.mean > 0
        certainty = "" if difference.excludes_zero else " (not significant over these folds)"
        lead = f"{_with_bounds(_magnitude(difference), metric)} {'better' if better else 'worse'}"
        return (
            f"{text}, {lead} than the next algorithm, {runner_up.label}{certainty}; "
            f"{_count_trials(self._choice.n_trials)} were compared."
        )

    def _preference(self) -> str:
        """State why the winner was preferred to a better trial."""
        best, winner = self._choice.best, self._winner
        if best.number == winner.number:
            return ""
        metric = self._main_metric()
        difference = abs(
            fmean(self._results.fold_values(best, metric)) - fmean(self._results.fold_values(winner, metric))
        )
        saving = (
            f"it takes {_size(winner)} instead of {_size(best)}"
            if self._select.cost_metric == "model_bytes"
            else "it is faster to fit"
        )
        return (
            f"It is preferred to {best.label}, which is {_number(difference, metric)} better: the difference "
            f"is within one standard error, and {saving}."
        )

    def _over_budget(self) -> str:
        """Name the trials that are better but exceed a budget."""
        labels = [violation.trial.label for violation in self._choice.over_budget]
        if not labels:
            return ""
        n_more = len(labels) - MAX_NAMED_OVER_BUDGET
        named = [*labels[:MAX_NAMED_OVER_BUDGET], *([f"{n_more} more"] if n_more > 0 else [])]
        return f"{_join(named)} {'was' if len(labels) == 1 else 'were'} better but over budget."

    def _trade_offs(self) -> str:
        """Name the metrics in which another competitive candidate is better, with both values."""
        winner = self._results.candidates.get(self._winner.number)
        others = [
            candidate
            for candidate in self._competitive_candidates()
            if candidate.algorithm != self._winner.algorithm
        ]
        if winner is None or not winner.folds or not others:
            return ""
        compared = (self._results.metric, "ndcg", "coverage", "diversity")
        parts = [part for metric in compared if (part := self._trade_off(metric, winner, others))]
        smallest = min(
            (self._results.best_trial(candidate) for candidate in others), key=lambda trial: trial.model_bytes
        )
        if smallest.model_bytes < self._winner.model_bytes:
            parts.append(
                f"size ({_size(self._winner)} compared with {_size(smallest)} for {smallest.algorithm_title})"
            )
        if parts:
            return f"It gives up {_join(parts)}."
        names = ", ".join(map(self._results.metric_display_name, compared))
        return f"No other candidate is better in {names} or size."

    def _trade_off(self, metric: str, winner: CandidateMetrics, others: Sequence[CandidateMetrics]) -> str:
        sign = 1 if metric in LOWER_IS_BETTER else -1
        top = min(others, key=lambda candidate: sign * candidate.mean(metric))
        if not sign * top.mean(metric) < sign * winner.mean(metric):
            return ""
        name = self._results.metric_display_name(metric)
        return (
            f"{name} ({_number(winner.mean(metric), metric)} compared with "
            f"{_number(top.mean(metric), metric)} for {self._results.best_trial(top).algorithm_title})"
        )

    def _tuning_gain(self) -> str:
        """State how much the search improved on default parameters."""
        results = self._results
        gains = {
            candidate.trial: paired_fold_difference(
                candidate.default_scores, results.best_trial(candidate).fold_values(results.metric)
            )
            for candidate in results.ranked_candidates
            if candidate.default_scores
        }
        winner_gain = gains.get(self._winner.number)
        if winner_gain is None:
            return ""
        name = results.metric_display_name(results.metric)
        text = _tuning_effect(winner_gain, name, self._winner.algorithm_title)
        if len(gains) > 1:
            mean = fmean(gain.mean for gain in gains.values())
            text += (
                f" Over all {len(gains)} candidates it {_change(mean)} {name} by {abs(mean):.4f} on average"
            )
            most = max(gains, key=lambda number: gains[number].mean)
            if most != self._winner.number and gains[most].mean > 0:
                text += (
                    f", most for {results.trials_by_number[most].algorithm_title} ({gains[most].mean:.4f})"
                )
            text += "."
        return text

    def _main_metric(self) -> str:
        """Return the objective's metric with the largest weight."""
        return max(self._select.objective_weights, key=self._select.objective_weights.__getitem__)

    def _competitive_candidates(self) -> list[CandidateMetrics]:
        """Return the candidates that predict at least as well as the baseline, except the random one."""
        metric = self._results.metric
        candidates = [
            candidate
            for candidate in self._results.ranked_candidates
            if candidate.algorithm != RANDOM_BASELINE
        ]
        limit = next(
            (candidate.mean(metric) for candidate in candidates if candidate.algorithm == "baseline_only"),
            None,
        )
        return [candidate for candidate in candidates if limit is None or candidate.mean(metric) <= limit]


def _tuning_effect(gain: MeanInterval, name: str, title: str) -> str:
    """Return a sentence on the effect of tuning on the named error of an algorithm."""
    if abs(gain.mean) < NEGLIGIBLE_GAIN:
        return f"Tuning did not improve the {name} of {title}."
    if gain.mean > 0:
        size = _with_bounds(gain, "rmse")
        return f"Tuning lowered the {name} by {size} compared with the default parameters of {title}."
    size = _with_bounds(_magnitude(gain), "rmse")
    return (
        f"Tuning raised the {name} by {size} compared with the default parameters of {title}, which are not "
        "in the search space."
    )


def _change(gain: float) -> str:
    return "lowered" if gain >= 0 else "raised"


def _magnitude(difference: MeanInterval) -> MeanInterval:
    """Return the size of a difference; a negative one changes its sign, and its bounds change places."""
    if difference.mean >= 0:
        return difference
    return MeanInterval(-difference.mean, -difference.high, -difference.low)


def _with_bounds(interval: MeanInterval, metric: str) -> str:
    low, high = _number(interval.low, metric), _number(interval.high, metric)
    return f"{_number(interval.mean, metric)} (95% CI {low} to {high})"


def _number(value: float, metric: str) -> str:
    return f"{value:.1%}" if metric in PERCENTAGES else f"{value:.4f}"


def _size(trial: Trial) -> str:
    return f"{trial.model_bytes / MEGABYTE:.2f} MB"


def _count_trials(number: int) -> str:
    return f"{number} trial{'s' * (number != 1)}"


def _join(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
