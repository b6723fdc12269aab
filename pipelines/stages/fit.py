"""Fit the selected recommender and predictor on the training set, to be scored on the test set."""

from experiments.config import Params
from pipelines.support.derived_feedback import read_feedback
from pipelines.support.fitted_recipes import fit_recipes
from pipelines.support.interaction_tables import read_trainset
from pipelines.support.paths import ALGORITHM_STATE
from pipelines.support.selected_recipes import read_selected_recipes
from pipelines.support.stage_runner import run_stage


def fit(params: Params) -> None:
    """Write models/algorithm_state: the fitted parameters of both algorithms."""
    trainset = read_trainset(read_feedback())
    fit_recipes(read_selected_recipes(params.seed), trainset, ALGORITHM_STATE)


if __name__ == "__main__":
    run_stage(fit, "fit")
