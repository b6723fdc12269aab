"""The search that params.yaml and this clone describe: for the stage, and for workers that join."""

from experiments.config.offline import Params
from experiments.evaluation.cross_validation import FoldSource
from experiments.search.run import Asking
from pipelines.support.paths import FOLDS, STATE, TRAIN
from pipelines.support.provenance import rating_scale


def asking(params: Params) -> Asking:
    """What is to be searched, by which ratings and folds, and where its journal lies."""
    source = FoldSource(TRAIN, FOLDS, params.split.folds, rating_scale())
    return Asking(params.search, source, params.seed, params.search.metric, STATE)
