"""A replica over time: models and catalogues that change under it, and what other replicas were told."""

import os
import pickle
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from marquee.errors import ConfigError, ModelError
from marquee.model.manifest import MANIFEST
from service.recommendation.availability import Policy, read_policy
from service.recommendation.loaded_model import load
from service.recommendation.recommender import Wish
from service.replica import Replica
from service.settings import Settings
from tests.support.catalogues import open_shop, settings_of, write_shop


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_shop(tmp_path / "fitted", factors=True, version=7)


def look(replica: Replica) -> None:
    """What the thread beside the loop does every second."""
    replica._look()


def version(client: TestClient) -> str:
    return client.get("/recommend/ann").headers["x-model-version"]


def replace_model(folder: Path, *, version: int, damage: Callable[[Path], object] | None = None) -> None:
    """Put another model there as deploying does: beside, then renamed."""
    new = write_shop(folder.parent / "new", version=version)
    if damage is not None:
        damage(new)
    shutil.rmtree(folder)
    new.rename(folder)


def test_a_new_model_is_swapped_in_without_a_restart(folder: Path) -> None:
    with open_shop(settings_of(folder)) as (replica, client):
        assert version(client) == "7"
        replace_model(folder, version=8)
        assert version(client) == "7"
        look(replica)
        assert version(client) == "8"
        assert client.get("/version").json()["provenance"]["version"] == 8


def test_a_request_in_flight_ends_on_the_model_it_began_with(folder: Path) -> None:
    with open_shop(settings_of(folder)) as (replica, _):
        begun = replica.serving()
        replace_model(folder, version=8)
        look(replica)
        assert replica.serving() is not begun
        answer = begun.recommender.recommend(replica.person(begun, "ann"), Wish(2))
        assert b'"version":7' in begun.body("ann", answer)


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        (lambda new: (new / "top_items.npy").write_bytes(b"torn"), "top_items.npy"),
        (lambda new: (new / "seen_items.npy").unlink(), "seen_items.npy"),
        (lambda new: (new / MANIFEST).write_text('{"schema_version": 1}'), MANIFEST),
        (lambda new: (new / "users_keys.npy").write_bytes(pickle.dumps(_Poison(new))), "users_keys.npy"),
    ],
    ids=["corrupt", "half copied", "foreign schema", "poisoned"],
)
def test_a_bad_new_model_changes_nothing_and_is_named(
    folder: Path, damage: Callable[[Path], object], name: str
) -> None:
    with open_shop(settings_of(folder)) as (replica, client):
        replace_model(folder, version=8, damage=damage)
        look(replica)
        assert version(client) == "7"
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert name in ready.json()["trouble"]["model"]
        assert "marquee_trouble 1.0" in client.get("/metrics").text
        replace_model(folder, version=9)
        look(replica)
        assert version(client) == "9"
        assert client.get("/readyz").json()["trouble"] == {}
    assert not (folder.parent / "poisoned").exists()


def test_a_replica_without_a_model_becomes_ready_when_one_is_there(tmp_path: Path) -> None:
    with open_shop(settings_of(tmp_path / "fitted")) as (replica, client):
        assert client.get("/readyz").status_code == 503
        write_shop(tmp_path / "fitted", version=1)
        look(replica)
        assert client.get("/readyz").json()["model"]["version"] == 1


def test_a_model_that_was_half_copied_is_taken_up_when_it_is_whole(tmp_path: Path) -> None:
    whole, folder = write_shop(tmp_path / "whole", version=8), tmp_path / "fitted"
    folder.mkdir()
    shutil.copy(whole / MANIFEST, folder)  # the manifest came first
    with open_shop(settings_of(folder)) as (replica, client):
        assert client.get("/readyz").status_code == 503
        for path in whole.iterdir():
            look(replica)
            shutil.copy(path, folder)
        look(replica)
        assert client.get("/readyz").json()["model"]["version"] == 8


def test_a_poisoned_pickle_in_the_provenance_runs_nothing(folder: Path) -> None:
    (folder / "provenance.json").write_bytes(pickle.dumps(_Poison(folder)))
    with pytest.raises(ModelError, match=r"provenance\.json"):
        load(folder)
    assert not (folder.parent / "poisoned").exists()


def test_the_model_is_mapped_and_its_pages_are_shared(folder: Path) -> None:
    with open_shop(settings_of(folder)):
        maps = Path(f"/proc/{os.getpid()}/maps").read_text()
        assert str(folder / "top_items.npy") in maps
        for line in maps.splitlines():
            if str(folder) in line:
                assert line.split()[1] in {"r--s", "r--p"}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.json"


def test_hidden_items_are_shown_nowhere_from_the_next_look_on(folder: Path, policy: Path) -> None:
    policy.write_text("{}")
    with open_shop(settings_of(folder, catalogue=policy)) as (replica, client):
        assert first(client) == "i3"
        policy.write_text('{"hidden": ["i3", "unknown"]}')
        look(replica)
        assert first(client) == "i2"
        assert client.get("/items/i3").json()["available"] is False
        assert "i3" not in client.get("/similar/i0").text
        assert "i3" not in client.post("/recommend", json={"ratings": {}}).text


def test_items_come_and_go_at_their_times(
    folder: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    soon, later = now + timedelta(hours=1), now + timedelta(hours=2)
    span = {"from": soon.isoformat(), "until": later.isoformat()}
    policy.write_text(Policy.model_validate({"available": {"i3": span}}).model_dump_json(by_alias=True))
    monkeypatch.setattr(time, "time", now.timestamp)
    with open_shop(settings_of(folder, catalogue=policy)) as (_, client):
        assert first(client) == "i2"
        monkeypatch.setattr(time, "time", soon.timestamp)
        assert first(client) == "i3"
        monkeypatch.setattr(time, "time", lambda: later.timestamp() - 0.001)
        assert first(client) == "i3"
        monkeypatch.setattr(time, "time", later.timestamp)
        assert "i3" not in client.get("/similar/i0").text  # another route is asked first
        assert first(client) == "i2"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", "the file"),
        ('{"hiden": []}', "hiden"),
        ('{"available": {"i0": {"from": "soon"}}}', "available.i0.from"),
    ],
)
def test_a_bad_catalogue_is_named_and_the_last_good_one_holds(
    folder: Path, policy: Path, text: str, field: str
) -> None:
    policy.write_text('{"hidden": ["i3"]}')
    with open_shop(settings_of(folder, catalogue=policy)) as (replica, client):
        policy.write_text(text)
        look(replica)
        assert first(client) == "i2"
        assert field in client.get("/readyz").json()["trouble"]["catalogue"]
    with pytest.raises(ConfigError, match=r"catalogue\.json"):
        read_policy(policy)


def test_what_a_user_told_another_replica_is_known_here_too(folder: Path) -> None:
    with (
        open_shop(settings_of(folder, replica="one")) as (_, one),
        open_shop(settings_of(folder, replica="two")) as (replica, two),
    ):
        assert two.get("/recommend/new").json()["rung"] == "popular"
        event = {"event_id": "e1", "user": "new", "item": "i4", "kind": "rating", "value": 5}
        assert one.post("/feedback", json=event).json() == {"stored": 1, "duplicates": 0}
        look(replica)
        assert two.get("/recommend/new").json()["rung"] == "folded"
        assert two.post("/feedback", json=event).json() == {"stored": 0, "duplicates": 1}


def test_what_a_user_did_is_known_after_a_restart(folder: Path) -> None:
    event = {"event_id": "e1", "user": "new", "item": "i4", "kind": "rating", "value": 5}
    with open_shop(settings_of(folder)) as (_, client):
        client.post("/feedback", json=event)
    with open_shop(settings_of(folder)) as (_, client):
        assert client.get("/recommend/new").json()["rung"] == "folded"
        assert client.post("/feedback", json=event).json() == {"stored": 0, "duplicates": 1}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MARQUEE_DEADLINE_MS", "soon"),
        ("MARQUEE_DEADLINE_MS", "0"),
        ("MARQUEE_DEADLINE_MS", "nan"),
        ("MARQUEE_TELEMETRY", "yes"),
        ("MARQUEE_ARM", "a/b"),
        ("MARQUEE_REPLICA", "../up"),
        ("MARQUEE_FAULTS", "on"),
    ],
)
def test_a_bad_setting_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        Settings.from_environment({variable: value})


def test_settings_have_defaults() -> None:
    settings = Settings.from_environment({})
    assert (settings.arm, settings.deadline_ms, settings.telemetry) == ("stable", 50.0, True)
    assert settings.faults is None


class _Poison:
    """Runs code when it is unpickled: it creates a file beside the model."""

    def __init__(self, folder: Path) -> None:
        self.mark = folder.parent / "poisoned"

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.mark), "w")


def first(client: TestClient) -> str:
    item: str = client.get("/recommend/ann").json()["items"][0]["item"]
    return item
