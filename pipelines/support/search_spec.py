"""Specification of the search that params.yaml and the files of this clone describe."""

from experiments.config import Params
from experiments.evaluation.cross_validation import FoldSource
from experiments.search.specification import SearchSpec
from pipelines.support.fetched_source import read_rating_scale
from pipelines.support.paths import FOLDS, LOCAL_STATE, TRAIN


def build_search_spec(params: Params) -> SearchSpec:
    """Return the specification of the search, for the search stage and for workers that join it."""
    source = FoldSource(TRAIN, FOLDS, params.split.folds, read_rating_scale())
    return SearchSpec(params.search, source, params.seed, params.search.metric, LOCAL_STATE)
