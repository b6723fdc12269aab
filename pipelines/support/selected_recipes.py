"""Recipes to fit: those of the selected recommender and predictor, and that of the best SVD of the search."""

from collections.abc import Iterator
from typing import Any

from experiments.search.trials import Trial, point_key, trial_from_record
from marquee.model.recipe import Recipe
from marquee.seeds import seed_for
from pipelines.support.fitted_recipes import Role
from pipelines.support.json_reader import read_json
from pipelines.support.paths import SEARCH, SELECTION


def read_selected_recipes(root_seed: int) -> dict[Role, Recipe]:
    """Return the recipe of the recommender and, for explicit feedback, that of the predictor."""
    selection = read_json(SELECTION)
    roles: tuple[Role, ...] = ("recommender", "predictor")
    return {role: _to_recipe(selection[role], root_seed) for role in roles if selection[role] is not None}


def find_best_svd(root_seed: int) -> Recipe | None:
    """Return the recipe of the SVD trial with the lowest RMSE; None if no SVD has an RMSE."""
    trials = list(_read_svd_trials())
    if not trials:
        return None
    best = min(trials, key=lambda trial: (trial.mean("rmse"), point_key(trial.algorithm, trial.parameters)))
    return _create_recipe(best.algorithm, dict(best.parameters), root_seed)


def _read_svd_trials() -> Iterator[Trial]:
    for record in read_json(SEARCH)["trials"]:
        trial = trial_from_record(record)
        if trial.algorithm == "svd" and trial.folds:
            yield trial


def _to_recipe(record: dict[str, Any], root_seed: int) -> Recipe:
    return _create_recipe(record["algorithm"], record["parameters"], root_seed)


def _create_recipe(algorithm: str, parameters: dict[str, Any], root_seed: int) -> Recipe:
    return Recipe(algorithm, parameters, seed_for(root_seed, "fit", algorithm))
