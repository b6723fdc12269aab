"""Model registry: versions are identified by content, and only a promotion moves the champion alias."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from experiments.tracking import model_registry
from experiments.tracking.data_version import DataVersion
from experiments.tracking.model_registry import (
    ModelVersion,
    Registration,
    find_challenger,
    find_champion,
    find_version,
    get_version,
    promote_to_champion,
    recipe_tags,
    register_best,
    register_version,
)
from experiments.tracking.runs import ExperimentTracker
from experiments.tracking.store_access import tracking_uri
from marquee.errors import TrackingError
from marquee.model.fitted_model import load_model, write_model
from marquee.model.recipe import Recipe
from tests.support.manifest_fields import EASE_RECIPE, MANIFEST_FIELDS, SVD_RECIPE
from tests.support.model_builder import build_small_model_arrays
from tests.support.sample_replica import write_sample_model

pytestmark = pytest.mark.slow

TAGS = {**recipe_tags("recommender", EASE_RECIPE), **recipe_tags("predictor", SVD_RECIPE)}


def write_small_model(folder: Path, title: str) -> str:
    """Write a model of one user and two items, whose content depends on the title; return its digest."""
    arrays = build_small_model_arrays({"ann": ([0], [1])}, ["i0", "i1"], titles=[title, "Alien"], width=1)
    return write_model(folder, arrays, MANIFEST_FIELDS).digest


def register_small_model(name: str, folder: Path, title: str, run_id: str) -> Registration:
    """Register a model whose content depends on the title as a version of `name`."""
    return register_version(name, folder, write_small_model(folder, title), run_id, TAGS)


@pytest.fixture(scope="module", autouse=True)
def run_id(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Id of a run, for versions that the tests register; all tests use the temporary store of this run."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        tracker = ExperimentTracker("test")
        yield tracker.start_search_run("test", DataVersion("demo", "0" * 36, "data/raw"), {}, {})


def test_unknown_model_has_no_champion_and_no_versions() -> None:
    assert find_champion("unknown") is None
    assert find_version("unknown", "0" * 64) is None


def test_first_version_is_challenger_and_champion(run_id: str, tmp_path: Path) -> None:
    first, is_new = register_small_model("films", tmp_path, "Alpha", run_id)
    assert is_new
    assert (first.version, set(first.aliases)) == (1, {"challenger", "champion"})
    assert first.recipes == {"recommender": EASE_RECIPE, "predictor": SVD_RECIPE}
    assert find_champion("films") == find_challenger("films") == first


def test_second_version_is_only_challenger(run_id: str, tmp_path: Path) -> None:
    register_small_model("plays", tmp_path / "a", "Alpha", run_id)
    second, is_new = register_small_model("plays", tmp_path / "b", "Beta", run_id)
    assert is_new
    assert (second.version, second.aliases) == (2, ("challenger",))
    assert find_challenger("plays") == second
    assert find_champion("plays") == get_version("plays", 1)


def test_promotion_moves_the_champion_alias(run_id: str, tmp_path: Path) -> None:
    register_small_model("games", tmp_path / "a", "Alpha", run_id)
    register_small_model("games", tmp_path / "b", "Beta", run_id)
    promote_to_champion("games", 2)
    promote_to_champion("games", 2)
    assert find_champion("games") == get_version("games", 2)
    assert set(get_version("games", 2).aliases) == {"challenger", "champion"}
    assert get_version("games", 1).aliases == ()


def test_equal_content_is_registered_once(run_id: str, tmp_path: Path) -> None:
    digest = write_small_model(tmp_path, "Alpha")
    first, _ = register_version("books", tmp_path, digest, run_id, TAGS)
    assert register_version("books", tmp_path, digest, run_id, TAGS) == Registration(first, is_new=False)
    assert find_version("books", digest) == first


def test_removed_champion_is_not_replaced_by_a_later_version(run_id: str, tmp_path: Path) -> None:
    register_small_model("songs", tmp_path / "a", "Alpha", run_id)
    MlflowClient(tracking_uri()).delete_registered_model_alias("songs", "champion")
    second, _ = register_small_model("songs", tmp_path / "b", "Beta", run_id)
    assert second.aliases == ("challenger",)
    assert find_champion("songs") is None


def test_registered_version_recommends_through_mlflow(run_id: str, tmp_path: Path) -> None:
    register_small_model("series", tmp_path, "Alpha", run_id)
    model = mlflow.pyfunc.load_model("models:/series/1")
    assert model.predict(pd.DataFrame({"user": ["ann", "nobody"]})) == [["i1"], ["i0", "i1"]]


def test_version_without_predictor_has_one_recipe() -> None:
    version = ModelVersion("plays", 1, "0f0f", tags=recipe_tags("recommender", EASE_RECIPE))
    assert version.recipes == {"recommender": EASE_RECIPE}


def test_older_version_has_one_recipe_for_both_roles() -> None:
    tags = {"algorithm": "svd", "parameters": '{"n_factors": 2}', "seed": "42"}
    recipe = Recipe("svd", {"n_factors": 2}, 42)
    version = ModelVersion("films", 1, "0f0f", tags=tags)
    assert version.recipes == {"recommender": recipe, "predictor": recipe}


def register_sample_svd(name: str, folder: Path, run_id: str, mean: float = 3.5) -> Registration:
    """Register the sample model, which predicts ratings, as the best of `name`."""
    write_sample_model(folder, scorers="factors", global_mean=mean)
    return register_best(name, folder, load_model(folder).digest, run_id, TAGS)


def test_best_model_has_the_alias_best_only(run_id: str, tmp_path: Path) -> None:
    version, is_new = register_sample_svd("films-svd", tmp_path / "a", run_id)
    assert (version.version, version.aliases, is_new) == (1, ("best",), True)
    assert find_champion("films-svd") is None


def test_alias_best_moves_to_the_best_of_the_last_run(run_id: str, tmp_path: Path) -> None:
    first, _ = register_sample_svd("plays-svd", tmp_path / "a", run_id)
    second, _ = register_sample_svd("plays-svd", tmp_path / "b", run_id, mean=3.25)
    assert (second.version, second.aliases) == (2, ("best",))
    assert get_version("plays-svd", 1).aliases == ()
    again, is_new = register_sample_svd("plays-svd", tmp_path / "a", run_id)
    assert (again, is_new) == (first, False)


def test_best_model_predicts_ratings_through_mlflow(run_id: str, tmp_path: Path) -> None:
    register_sample_svd("series-svd", tmp_path / "a", run_id)
    model = mlflow.pyfunc.load_model("models:/series-svd@best")
    pairs = pd.DataFrame({"user": ["ann", "zoë/3", "nobody"], "item": ["i0", "i0", "i0"]})
    assert model.predict(pairs)["rating"].round(4).tolist() == [4.0, 3.0, 3.5]


def test_registry_failure_is_not_mistaken_for_a_missing_champion(monkeypatch: pytest.MonkeyPatch) -> None:
    class FailingClient:
        def get_registered_model(self, _: str) -> None:
            raise mlflow.exceptions.MlflowException("the database is locked")

    monkeypatch.setattr(model_registry, "_client", FailingClient)
    with pytest.raises(TrackingError, match="failed: the database is locked"):
        find_champion("films")
