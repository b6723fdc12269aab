"""Explanation of the predictor, in one paragraph: its error and lead, its size, and the gain from tuning.

It contains no durations, so that the same search gives the same text on every machine.
"""

from statistics import fmean

from experiments.config.offline import SelectParams
from experiments.evaluation.candidate_record import CandidateMetrics
from experiments.evaluation.fold_intervals import MeanInterval, mean_interval, paired_fold_difference
from experiments.evaluation.phrases import MAY_BE_CHANCE, name_first
from experiments.search.trials import MEGABYTE, Trial
from experiments.selection.predictor_rule import PredictorChoice
from experiments.selection.search_results import SearchResults

NEGLIGIBLE_GAIN = 5e-5  # rounds to 0.0000


def explain_predictor(choice: PredictorChoice, results: SearchResults, select: SelectParams) -> str:
    """Return a paragraph that explains why a predictor was chosen from the results of a search."""
    explanation = _Explanation(choice, results, select)
    return " ".join(sentence for sentence in explanation.sentences() if sentence)


class _Explanation:
    def __init__(self, choice: PredictorChoice, results: SearchResults, select: SelectParams) -> None:
        self._choice, self._results, self._select = choice, results, select
        self._winner = choice.winner

    def sentences(self) -> list[str]:
        return [
            self._reason(),
            self._preference(),
            self._over_budget(),
            self._tuning_gain(),
        ]

    def _reason(self) -> str:
        """State the winner's error and its lead over the runner-up."""
        error = self._main_error()
        values, name = self._winner.fold_values(error), _title(error)
        text = (
            f"{self._winner.label} is the predictor: {name} {_with_bounds(mean_interval(values, lowest=0.0))}"
        )
        weights = self._select.predictor_weights
        if len(weights) > 1:
            objective = ", ".join(f"{_title(key)} {weights[key]:g}" for key in weights)
            text = (
                f"{self._winner.label} is the predictor by {objective}; its {name} is "
                f"{_with_bounds(mean_interval(values, lowest=0.0))}"
            )
        text += f", measured on {len(values)} folds of the training set"
        runner_up = self._choice.runner_up
        if runner_up is None:
            return f"{text}, out of {_count_trials(self._choice.n_trials)}."
        difference = paired_fold_difference(values, runner_up.fold_values(error))
        certainty = "" if difference.excludes_zero else f", {MAY_BE_CHANCE}"
        lead = f"{_with_bounds(_magnitude(difference))} {'lower' if difference.mean < 0 else 'higher'}"
        return (
            f"{text}, {lead} than that of the next algorithm, {runner_up.label}{certainty}; "
            f"{_count_trials(self._choice.n_trials)} were compared."
        )

    def _preference(self) -> str:
        """State why the winner was preferred to a trial with a lower error."""
        best, winner = self._choice.best, self._winner
        if best.number == winner.number:
            return ""
        error = self._main_error()
        difference = abs(best.mean(error) - winner.mean(error))
        saving = (
            f"it takes {_size(winner)} instead of {_size(best)}"
            if self._select.cost_metric == "model_bytes"
            else "it is faster to fit"
        )
        return (
            f"It is preferred to {best.label}, whose {_title(error)} is {difference:.4f} lower: the "
            f"difference is within one standard error, and {saving}."
        )

    def _over_budget(self) -> str:
        """Name the trials that are better but exceed a budget."""
        labels = [violation.trial.label for violation in self._choice.over_budget]
        if not labels:
            return ""
        verb = "has a lower error but exceeds" if len(labels) == 1 else "have lower errors but exceed"
        return f"{name_first(labels)} {verb} a budget."

    def _tuning_gain(self) -> str:
        """State how much the search improved on default parameters."""
        results = self._results
        gains = {
            candidate.trial: paired_fold_difference(
                candidate.default_scores, results.trial_of(candidate).fold_values(results.error)
            )
            for candidate in self._measured_predictors()
            if candidate.default_scores
        }
        winner_gain = gains.get(self._winner.number)
        if winner_gain is None:
            return ""
        name = _title(results.error)
        text = _tuning_effect(winner_gain, name, self._winner.algorithm_title)
        mean = fmean(gain.mean for gain in gains.values())
        if len(gains) > 1 and abs(mean) >= NEGLIGIBLE_GAIN:
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

    def _measured_predictors(self) -> list[CandidateMetrics]:
        """Return the winner, and the best measured trial of each other algorithm."""
        winner = self._results.candidates.get(self._winner.number)
        others = [
            candidate
            for candidate in self._results.ranked_predictors
            if candidate.algorithm != self._winner.algorithm
        ]
        return others if winner is None else [winner, *others]

    def _main_error(self) -> str:
        """Return the error with the largest weight in the objective."""
        return max(self._select.predictor_weights, key=self._select.predictor_weights.__getitem__)


def _tuning_effect(gain: MeanInterval, name: str, title: str) -> str:
    """Return a sentence on the effect of tuning on the named error of an algorithm."""
    if abs(gain.mean) < NEGLIGIBLE_GAIN:
        return f"Tuning did not improve the {name} of {title}."
    if gain.mean > 0:
        size = _with_bounds(gain)
        return f"Tuning lowered the {name} by {size} compared with the default parameters of {title}."
    size = _with_bounds(_magnitude(gain))
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


def _with_bounds(interval: MeanInterval) -> str:
    return f"{interval.mean:.4f} (95% CI {interval.low:.4f} to {interval.high:.4f})"


def _title(error: str) -> str:
    return error.upper()


def _size(trial: Trial) -> str:
    return f"{trial.model_bytes / MEGABYTE:.2f} MB"


def _count_trials(number: int) -> str:
    return f"{number} trial{'s' * (number != 1)}"
