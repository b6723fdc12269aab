"""Fit the selected recipes again on all interactions: the models to serve.

A model without the test set would not know its users and items, and would recommend items that users have
chosen already.
"""

from experiments.config import Params
from pipelines.support.derived_feedback import read_feedback
from pipelines.support.fitted_recipes import fit_recipes
from pipelines.support.interaction_tables import read_all_interactions
from pipelines.support.paths import REFITTED_STATE
from pipelines.support.selected_recipes import find_best_svd, read_selected_recipes
from pipelines.support.stage_runner import run_stage


def refit(params: Params) -> None:
    """Write models/refitted_state: recommender, predictor and best SVD, fitted on training and test set."""
    recipes = read_selected_recipes(params.seed)
    if (svd := find_best_svd(params.seed)) is not None:
        recipes["svd"] = svd
    fit_recipes(recipes, read_all_interactions(read_feedback()), REFITTED_STATE)


if __name__ == "__main__":
    run_stage(refit, "refit")
