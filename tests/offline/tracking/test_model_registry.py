"""Versions by content, and aliases that only a promotion moves."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from experiments.tracking import registry
from experiments.tracking.data_version import DataVersion
from experiments.tracking.registry import champion, find_version, register
from experiments.tracking.runs import Tracker
from marquee.errors import TrackingError
from marquee.model.fitted_model import write_model
from tests.support.models import small_arrays
from tests.support.openapi_checks import DESCRIPTION

TAGS = {"algorithm": "svd", "parameters": '{"n_factors": 2}'}


def small_model(folder: Path, title: str) -> str:
    """One user, two items; the title makes the content differ. Its digest."""
    arrays = small_arrays({"ann": ([0], [1])}, ["i0", "i1"], titles=[title, "Alien"], width=1)
    return write_model(folder, arrays, DESCRIPTION).digest


@pytest.fixture(scope="module")
def run_id(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        yield Tracker("test").start_search("test", DataVersion("demo", "0" * 36, "data/raw"), {}, {})


def test_before_the_first_version_there_is_no_champion(run_id: str) -> None:
    assert champion("never heard of") is None
    assert find_version("never heard of", "0" * 64) is None


def test_the_first_version_is_challenger_and_champion_the_next_only_challenger(
    run_id: str, tmp_path: Path
) -> None:
    first, new = register("films", tmp_path / "a", small_model(tmp_path / "a", "Alpha"), run_id, TAGS)
    assert (first.version, set(first.aliases), new) == (1, {"challenger", "champion"}, True)
    second, new = register("films", tmp_path / "b", small_model(tmp_path / "b", "Beta"), run_id, TAGS)
    assert (second.version, set(second.aliases), new) == (2, {"challenger"}, True)
    current = champion("films")
    assert current is not None
    assert (current.version, current.algorithm, current.parameters) == (1, "svd", {"n_factors": 2})


def test_the_same_content_is_the_same_version(run_id: str, tmp_path: Path) -> None:
    digest = small_model(tmp_path / "a", "Alpha")
    first, _ = register("books", tmp_path / "a", digest, run_id, TAGS)
    again, new = register("books", tmp_path / "a", digest, run_id, TAGS)
    assert (again, new) == (first, False)
    assert find_version("books", digest) == first


def test_a_champion_that_somebody_took_away_stays_away(run_id: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        register("songs", tmp_path / name, small_model(tmp_path / name, name), run_id, TAGS)
    MlflowClient().delete_registered_model_alias("songs", "champion")
    version, _ = register("songs", tmp_path / "b", small_model(tmp_path / "b", "b"), run_id, TAGS)
    assert version.aliases == ("challenger",)
    assert champion("songs") is None


def test_a_registered_version_answers_through_mlflow(run_id: str, tmp_path: Path) -> None:
    register("plays", tmp_path / "a", small_model(tmp_path / "a", "Alpha"), run_id, TAGS)
    model = mlflow.pyfunc.load_model("models:/plays/1")
    assert model.predict(pd.DataFrame({"user": ["ann", "nobody"]})) == [["i1"], ["i0", "i1"]]


def test_a_registry_that_cannot_answer_is_not_one_without_a_champion(
    run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        def get_registered_model(self, _: str) -> None:
            raise mlflow.exceptions.MlflowException("the database is locked")

    monkeypatch.setattr(registry, "_client", Silent)
    with pytest.raises(TrackingError, match="refused: the database is locked"):
        champion("films")
