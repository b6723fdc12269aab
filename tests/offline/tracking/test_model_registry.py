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
    Registration,
    find_challenger,
    find_champion,
    find_version,
    get_version,
    promote_to_champion,
    register_version,
)
from experiments.tracking.runs import ExperimentTracker
from experiments.tracking.store_access import tracking_uri
from marquee.errors import TrackingError
from marquee.model.fitted_model import write_model
from tests.support.manifest_fields import MANIFEST_FIELDS
from tests.support.model_builder import build_small_model_arrays

pytestmark = pytest.mark.slow

TAGS = {"algorithm": "svd", "parameters": '{"n_factors": 2}'}


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
    assert (first.algorithm, first.parameters) == ("svd", {"n_factors": 2})
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


def test_registry_failure_is_not_mistaken_for_a_missing_champion(monkeypatch: pytest.MonkeyPatch) -> None:
    class FailingClient:
        def get_registered_model(self, _: str) -> None:
            raise mlflow.exceptions.MlflowException("the database is locked")

    monkeypatch.setattr(model_registry, "_client", FailingClient)
    with pytest.raises(TrackingError, match="failed: the database is locked"):
        find_champion("films")
