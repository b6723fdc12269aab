"""Trials that the stage `select` chose, with the comparison of the recommenders, for reports."""

from experiments.config import Params
from experiments.search.trials import format_sorted_label
from experiments.selection.list_comparison import Selection
from experiments.selection.search_results import SearchResults
from pipelines.support.json_reader import read_json
from pipelines.support.paths import SELECTION
from pipelines.support.recommender_choice import choose_from_search


def read_selection(params: Params, results: SearchResults) -> Selection:
    """Return the selected trials, and the comparison of the recommenders."""
    record, trials = read_json(SELECTION), results.trials_by_number
    recommender = trials[record["recommender"]["trial"]]
    predictor = trials[record["predictor"]["trial"]] if record["predictor"] else None
    if not results.search_metric.uses_lists:
        return Selection(recommender, predictor)
    compared = choose_from_search(params, results.trials, results.candidates)
    labels = [format_sorted_label(trial.algorithm, trial.parameters) for trial in compared.trials]
    return Selection(recommender, predictor, compared.compared, compared.choice, labels)
