"""Specification of the search that params.yaml and the files of this clone describe."""

from experiments.config import Params
from experiments.search.default_spaces import resolve_default_spaces
from experiments.search.metric import SearchMetric
from experiments.search.specification import SearchSpec
from experiments.search.training_space import check_candidates, require_predictor, select_rankers
from pipelines.support.derived_feedback import read_feedback
from pipelines.support.evaluation_data import build_fold_source, build_part_source, build_protocol
from pipelines.support.json_reader import read_json
from pipelines.support.paths import LOCAL_STATE, SPLIT


def build_search_spec(params: Params) -> SearchSpec:
    """Return the specification of the search, for the search stage and for workers that join it.

    Without ratings, candidates that predict ratings are left out.

    Raises:
        ConfigError: a candidate is invalid, no candidate fits the kind of feedback, or `search.metric` needs
            ratings.
    """
    feedback = read_feedback()
    check_candidates(params.search)
    search = require_predictor(params.search) if feedback.scale else select_rankers(params.search)
    is_ordered = read_json(SPLIT)["strategy"] != "random"
    search = resolve_default_spaces(search, feedback.scale, is_ordered=is_ordered)
    folds = build_fold_source(params, feedback)
    uses_lists = SearchMetric.parse(search.metric_weights).uses_lists
    parts = build_part_source(feedback) if uses_lists else None
    return SearchSpec(search, folds, parts, build_protocol(params, feedback), params.seed, LOCAL_STATE)
