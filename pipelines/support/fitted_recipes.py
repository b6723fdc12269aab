"""Recipes fitted by a stage: a folder with one subfolder for each distinct recipe, and roles.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from marquee.algorithms.base import Algorithm
from marquee.algorithms.persistence import load_fitted_algorithm, save_fitted_algorithm
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.trainset import Trainset
from marquee.files.atomic_write import replace_folder
from marquee.model.recipe import Recipe
from pipelines.support.json_reader import read_json

Role: TypeAlias = Literal["recommender", "predictor", "svd"]
ROLES_FILE = "roles.json"  # subfolder of each role


@dataclass(frozen=True)
class FittedRecipe:
    """A recipe and the algorithm that was fitted by it."""

    recipe: Recipe
    algorithm: Algorithm


def fit_recipes(recipes: Mapping[Role, Recipe], trainset: Trainset, folder: Path) -> None:
    """Fit each distinct recipe once and save it.

    Args:
        recipes: recipe of each role; two roles may have equal recipes.
        trainset: interactions to fit.
        folder: destination; an existing folder is replaced.
    """
    subfolders: dict[Role, Role] = {}
    with replace_folder(folder) as new_folder:
        for role, recipe in recipes.items():
            subfolders[role] = next(other for other in recipes if recipes[other] == recipe)
            if subfolders[role] == role:
                _fit_and_save(recipe, trainset, new_folder / role)
        (new_folder / ROLES_FILE).write_text(json.dumps(subfolders, indent=2) + "\n", encoding="utf-8")


def load_fitted_recipes(folder: Path, trainset: Trainset) -> dict[Role, FittedRecipe]:
    """Load the fitted recipes; roles with equal recipes share one object.

    Args:
        folder: folder written by `fit_recipes`.
        trainset: interactions that the recipes were fitted on.
    """
    subfolders: dict[Role, Role] = read_json(folder / ROLES_FILE)  # type: ignore[assignment]  # keys are roles
    loaded = {name: _load(folder / name, trainset) for name in dict.fromkeys(subfolders.values())}
    return {role: loaded[name] for role, name in subfolders.items()}


def _fit_and_save(recipe: Recipe, trainset: Trainset, folder: Path) -> None:
    algorithm = find_algorithm(recipe.algorithm).create(recipe.parameters, recipe.seed)
    algorithm.fit(trainset)
    save_fitted_algorithm(
        algorithm, folder, name=recipe.algorithm, parameters=recipe.parameters, seed=recipe.seed
    )


def _load(folder: Path, trainset: Trainset) -> FittedRecipe:
    algorithm, header = load_fitted_algorithm(folder, trainset)
    return FittedRecipe(Recipe(header["algorithm"], header["parameters"], header["seed"]), algorithm)
