"""Specification of the search that params.yaml and the files of this clone describe."""

from experiments.config import Params
from experiments.evaluation.cross_validation import FoldSource
from experiments.evaluation.parts import PartSource
from experiments.evaluation.protocol import EvaluationProtocol
from experiments.search.metric import SearchMetric
from experiments.search.specification import SearchSpec
from experiments.search.training_space import select_rankers
from marquee.interactions.feedback import FeedbackSpec
from pipelines.support.json_reader import read_json
from pipelines.support.paths import FEEDBACK, FOLDS, LOCAL_STATE, SPLIT, TRAIN, TRAIN_ROWS

IMPLICIT = "implicit"


def build_search_spec(params: Params) -> SearchSpec:
    """Return the specification of the search, for the search stage and for workers that join it.

    Without ratings, candidates that predict ratings are left out.

    Raises:
        ConfigError: no candidate is left, or `search.metric` needs ratings.
    """
    feedback = FeedbackSpec.from_record(read_json(FEEDBACK))
    search = params.search if feedback.scale else select_rankers(params.search)
    folds = FoldSource(TRAIN, FOLDS, params.split.folds, feedback.scale) if feedback.scale else None
    uses_lists = SearchMetric.parse(search.metric_weights).uses_lists
    parts = build_part_source(feedback) if uses_lists else None
    return SearchSpec(search, folds, parts, build_protocol(params, feedback), params.seed, LOCAL_STATE)


def build_part_source(feedback: FeedbackSpec) -> PartSource:
    """Return the files of the validation parts."""
    return PartSource(TRAIN_ROWS, SPLIT, feedback.repeats, feedback.scale)


def build_protocol(params: Params, feedback: FeedbackSpec) -> EvaluationProtocol:
    """Return the length of the evaluated lists, and which held-out items are relevant."""
    return EvaluationProtocol(
        params.measure.top_n, feedback.positive_from, is_graded=feedback.feedback == IMPLICIT
    )
