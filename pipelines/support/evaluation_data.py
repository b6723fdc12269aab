"""Held-out data of the stages that evaluate models: validation parts, folds, and the evaluation protocol."""

from experiments.config import Params
from experiments.evaluation.cross_validation import FoldSource
from experiments.evaluation.parts import PartSource
from experiments.evaluation.protocol import EvaluationProtocol
from marquee.interactions.feedback import FeedbackSpec
from pipelines.support.paths import FOLDS, SPLIT, TRAIN, TRAIN_ROWS


def build_part_source(feedback: FeedbackSpec) -> PartSource:
    """Return the files of the validation parts."""
    return PartSource(TRAIN_ROWS, SPLIT, feedback.repeats, feedback.scale)


def build_fold_source(params: Params, feedback: FeedbackSpec) -> FoldSource | None:
    """Return the files of the folds; None for implicit feedback, which has no ratings to predict."""
    if feedback.scale is None:
        return None
    return FoldSource(TRAIN, FOLDS, params.split.folds, feedback.scale)


def build_protocol(params: Params, feedback: FeedbackSpec) -> EvaluationProtocol:
    """Return the length of the evaluated lists, and which held-out items are relevant."""
    return EvaluationProtocol(
        params.measure.top_n, feedback.positive_from, is_graded=feedback.feedback == "implicit"
    )
