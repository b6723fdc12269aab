"""Replica whose model, availability rules and feedback change while it serves."""

import errno
import json
import os
import pickle
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from marquee.errors import ConfigError, ModelError
from marquee.events import Event
from marquee.model.item_attributes import encode_attributes
from marquee.model.manifest import MANIFEST_NAME
from service.recommendation.loaded_model import LoadedModel
from service.recommendation.recommender import RecommendationRequest
from service.recommendation.shop_rules import ShopRules, read_shop_rules
from service.settings import Settings
from service.stack.waiting import wait_until
from service.telemetry import EventTail
from tests.support.sample_replica import replica_settings, running_replica, write_sample_model


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    return write_sample_model(tmp_path / "fitted", scorers="factors", version=7)


@pytest.fixture
def availability(tmp_path: Path) -> Path:
    return tmp_path / "availability.json"


def served_version(client: TestClient) -> str:
    return str(client.get("/recommend/ann").headers["x-model-version"])


def first_item(client: TestClient) -> str:
    return str(client.get("/recommend/ann").json()["items"][0]["item"])


def replace_model(
    model_folder: Path, *, version: int, damage: Callable[[Path], object] | None = None, **content: Any
) -> None:
    """Deploy another model: write it beside the current one, then rename it into place."""
    new = write_sample_model(model_folder.parent / "new", version=version, **content)
    if damage is not None:
        damage(new)
    shutil.rmtree(model_folder)
    new.rename(model_folder)


class MaliciousPickle:
    """Object that, when unpickled, runs code that creates a file beside the model."""

    def __init__(self, model_folder: Path) -> None:
        self.created_file = model_folder.parent / "unpickled"

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.created_file), "w")


def test_new_model_is_served_without_a_restart(model_folder: Path) -> None:
    with running_replica(replica_settings(model_folder)) as (replica, client):
        assert served_version(client) == "7"
        replace_model(model_folder, version=8)
        assert served_version(client) == "7"
        replica.reloader.load_changes()
        assert served_version(client) == "8"
        assert client.get("/version").json()["provenance"]["version"] == 8


def test_request_in_progress_keeps_its_model(model_folder: Path) -> None:
    with running_replica(replica_settings(model_folder)) as (replica, _):
        model = replica.require_loaded_model()
        replace_model(model_folder, version=8)
        replica.reloader.load_changes()
        assert replica.require_loaded_model() is not model
        user = replica.build_user_context(model, "ann")
        recommendations = model.recommender.recommend(user, RecommendationRequest(2))
        assert b'"version":7' in model.encode_response("ann", recommendations)


@pytest.mark.parametrize(
    ("damage", "file_name"),
    [
        (lambda new: (new / "top_items.npy").write_bytes(b"torn"), "top_items.npy"),
        (lambda new: (new / "seen_items.npy").unlink(), "seen_items.npy"),
        (lambda new: (new / MANIFEST_NAME).write_text('{"schema_version": 1}'), MANIFEST_NAME),
        (
            lambda new: (new / "users_keys.npy").write_bytes(pickle.dumps(MaliciousPickle(new))),
            "users_keys.npy",
        ),
    ],
    ids=["corrupt", "incomplete", "other schema", "pickle"],
)
def test_damaged_new_model_is_reported_and_the_old_one_keeps_serving(
    model_folder: Path, damage: Callable[[Path], object], file_name: str
) -> None:
    with running_replica(replica_settings(model_folder)) as (replica, client):
        replace_model(model_folder, version=8, damage=damage)
        replica.reloader.load_changes()
        assert served_version(client) == "7"
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert file_name in ready.json()["problems"]["model"]
        assert "marquee_problems 1.0" in client.get("/metrics").text
        replace_model(model_folder, version=9)
        replica.reloader.load_changes()
        assert served_version(client) == "9"
        assert client.get("/readyz").json()["problems"] == {}
    assert not (model_folder.parent / "unpickled").exists()


def test_replica_becomes_ready_when_a_model_appears(tmp_path: Path) -> None:
    with running_replica(replica_settings(tmp_path / "fitted")) as (replica, client):
        assert client.get("/readyz").status_code == 503
        write_sample_model(tmp_path / "fitted", version=1)
        replica.reloader.load_changes()
        assert client.get("/readyz").json()["model"]["version"] == 1


def test_half_copied_model_is_loaded_once_it_is_complete(tmp_path: Path) -> None:
    source, model_folder = write_sample_model(tmp_path / "source", version=8), tmp_path / "fitted"
    model_folder.mkdir()
    shutil.copy(source / MANIFEST_NAME, model_folder)  # the manifest is copied first
    with running_replica(replica_settings(model_folder)) as (replica, client):
        assert client.get("/readyz").status_code == 503
        for path in source.iterdir():
            replica.reloader.load_changes()
            shutil.copy(path, model_folder)
        replica.reloader.load_changes()
        assert client.get("/readyz").json()["model"]["version"] == 8


def test_pickle_as_provenance_runs_no_code(model_folder: Path) -> None:
    (model_folder / "provenance.json").write_bytes(pickle.dumps(MaliciousPickle(model_folder)))
    with pytest.raises(ModelError, match=r"provenance\.json"):
        LoadedModel.load(model_folder)
    assert not (model_folder.parent / "unpickled").exists()


def test_model_is_memory_mapped_read_only(model_folder: Path) -> None:
    with running_replica(replica_settings(model_folder)):
        maps = Path(f"/proc/{os.getpid()}/maps").read_text()
        assert str(model_folder / "top_items.npy") in maps
        for line in maps.splitlines():
            if str(model_folder) in line:
                assert line.split()[1] in {"r--s", "r--p"}


def test_hidden_items_disappear_from_all_routes(model_folder: Path, availability: Path) -> None:
    availability.write_text("{}")
    with running_replica(replica_settings(model_folder, availability=availability)) as (replica, client):
        assert first_item(client) == "i3"
        availability.write_text('{"hidden": ["i3", "unknown"]}')
        replica.reloader.load_changes()
        assert first_item(client) == "i2"
        assert client.get("/items/i3").json()["available"] is False
        assert "i3" not in client.get("/similar/i0").text
        assert "i3" not in client.post("/recommend", json={"ratings": {}}).text


def test_item_is_shown_only_during_its_availability_period(
    model_folder: Path, availability: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    start, end = now + timedelta(hours=1), now + timedelta(hours=2)
    period = {"from": start.isoformat(), "until": end.isoformat()}
    policy = ShopRules.model_validate({"available": {"i3": period}})
    availability.write_text(policy.model_dump_json(by_alias=True))
    monkeypatch.setattr(time, "time", now.timestamp)
    with running_replica(replica_settings(model_folder, availability=availability)) as (_, client):
        assert first_item(client) == "i2"
        monkeypatch.setattr(time, "time", start.timestamp)
        assert first_item(client) == "i3"
        monkeypatch.setattr(time, "time", lambda: end.timestamp() - 0.001)
        assert first_item(client) == "i3"
        monkeypatch.setattr(time, "time", end.timestamp)
        # Another route notices the end of the period before /recommend does.
        assert "i3" not in client.get("/similar/i0").text
        assert first_item(client) == "i2"


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("{", "the file"),
        ('{"hiden": []}', "hiden"),
        ('{"available": {"i0": {"from": "soon"}}}', "available.i0.from"),
    ],
)
def test_invalid_availability_file_is_reported_and_the_last_valid_rules_stay(
    model_folder: Path, availability: Path, text: str, field: str
) -> None:
    availability.write_text('{"hidden": ["i3"]}')
    with running_replica(replica_settings(model_folder, availability=availability)) as (replica, client):
        availability.write_text(text)
        replica.reloader.load_changes()
        assert first_item(client) == "i2"
        assert field in client.get("/readyz").json()["problems"]["availability"]
    with pytest.raises(ConfigError, match=r"availability\.json"):
        read_shop_rules(availability)


FEEDBACK = {"event_id": "e1", "user": "new", "item": "i4", "kind": "rating", "value": 5}


def test_feedback_to_one_replica_reaches_the_others(model_folder: Path) -> None:
    with (
        running_replica(replica_settings(model_folder, replica="one")) as (_, one),
        running_replica(replica_settings(model_folder, replica="two")) as (replica, two),
    ):
        assert two.get("/recommend/new").json()["fallback_level"] == "popular"
        assert one.post("/feedback", json=FEEDBACK).json() == {"stored": 1, "duplicates": 0}
        replica.reloader.load_changes()
        assert two.get("/recommend/new").json()["fallback_level"] == "folded"
        assert two.post("/feedback", json=FEEDBACK).json() == {"stored": 0, "duplicates": 1}


def test_unreadable_events_of_a_replica_do_not_stop_those_of_others(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        running_replica(replica_settings(model_folder, replica="one")) as (_, one),
        running_replica(replica_settings(model_folder, replica="two")) as (replica, two),
    ):
        one.post("/feedback", json=FEEDBACK)
        poll = EventTail.poll

        def poll_and_fail(tail: EventTail) -> Iterator[Event]:
            yield from poll(tail)
            raise OSError(errno.EIO, "events of a third replica")

        with monkeypatch.context() as patch:
            patch.setattr(EventTail, "poll", poll_and_fail)
            replica.reloader.load_changes()
        assert "third replica" in two.get("/readyz").json()["problems"]["events"]
        assert two.get("/recommend/new").json()["fallback_level"] == "folded"
        replica.reloader.load_changes()
        assert two.get("/readyz").json()["problems"] == {}


def test_replica_serves_although_events_cannot_be_read(model_folder: Path) -> None:
    (model_folder.parent / "events").write_text("not a folder")
    with running_replica(replica_settings(model_folder)) as (_, client):
        assert client.get("/recommend/ann").status_code == 200
        assert "Not a directory" in client.get("/readyz").json()["problems"]["events"]


def test_event_with_a_repeated_id_changes_no_list_of_any_replica(model_folder: Path) -> None:
    other_item = {**FEEDBACK, "item": "i1", "value": 1}
    with (
        running_replica(replica_settings(model_folder, replica="one")) as (_, one),
        running_replica(replica_settings(model_folder, replica="two")) as (replica, two),
    ):
        one.post("/feedback", json=FEEDBACK)
        assert one.post("/feedback", json=other_item).json() == {"stored": 0, "duplicates": 1}
        both_items = [{**FEEDBACK, "event_id": "e2", "item": item} for item in ("i2", "i3")]
        assert one.post("/feedback", json=both_items).json() == {"stored": 1, "duplicates": 1}
        replica.reloader.load_changes()
        items = one.get("/recommend/new").json()["items"]
        assert {item["item"] for item in items} == {"i0", "i1", "i3", "i5"}
        assert items == two.get("/recommend/new").json()["items"]


def test_shown_items_are_held_back_by_all_replicas(model_folder: Path) -> None:
    with (
        running_replica(replica_settings(model_folder, replica="one", repeat_after=60)) as (_, one),
        running_replica(replica_settings(model_folder, replica="two", repeat_after=60)) as (replica, two),
    ):
        first = [item["item"] for item in one.get("/recommend/ann?n=2").json()["items"]]
        assert wait_until(lambda: any((model_folder.parent / "events").glob("one/exposure-*")), 5.0)
        replica.reloader.load_changes()
        second = two.get("/recommend/ann?n=2").json()
        assert not {item["item"] for item in second["items"]} & set(first)
        assert second["relaxed_filters"] == []
        everything = two.get("/recommend/ann?n=4").json()
        assert len(everything["items"]) == 4  # all that she has not rated, though she has seen them now
        assert everything["relaxed_filters"] == ["repeat_after"]


def test_list_is_repeated_if_items_are_not_held_back(model_folder: Path) -> None:
    with running_replica(replica_settings(model_folder)) as (replica, client):
        assert client.get("/recommend/ann").json() == client.get("/recommend/ann").json()
        assert replica.shown_items is None


def test_new_feedback_makes_the_list_of_a_known_user_live(model_folder: Path) -> None:
    with running_replica(replica_settings(model_folder)) as (replica, client):
        assert client.get("/recommend/ann?n=2").json()["fallback_level"] == "personal"
        client.post("/feedback", json={**FEEDBACK, "user": "ann", "item": "i3", "value": 1})
        body = client.get("/recommend/ann").json()
        assert body["fallback_level"] == "live"
        assert "i3" not in {item["item"] for item in body["items"]}
        assert replica.response_cache.get("ann") is not None  # until her next event
        client.post("/feedback", json={**FEEDBACK, "event_id": "e2", "user": "ann", "item": "i2"})
        assert replica.response_cache.get("ann") is None


def test_rules_that_do_not_fit_the_model_are_reported_and_the_last_valid_rules_stay(
    model_folder: Path, availability: Path
) -> None:
    availability.write_text('{"pins": [{"item": "i5", "position": 1}]}')
    with running_replica(replica_settings(model_folder, availability=availability)) as (replica, client):
        assert first_item(client) == "i5"
        availability.write_text('{"caps": [{"attribute": "series", "at_most": 1}]}')
        replica.reloader.load_changes()
        assert first_item(client) == "i5"
        problem = client.get("/readyz").json()["problems"]["availability"]
        assert problem.endswith("caps.0.attribute: no item has the attribute series (expected genres)")


def test_new_model_is_served_with_the_rules_that_fit_it(model_folder: Path, availability: Path) -> None:
    pin, filtered = {"item": "i5", "position": 1}, {"attribute": "language", "any_of": ["fr"]}
    availability.write_text(json.dumps({"pins": [pin], "filters": [filtered]}))
    attributes = encode_attributes({"language": ["fr", "fr", "ja", "en", "fr", "fr"]})
    write_sample_model(model_folder, version=7, attributes=attributes)
    with running_replica(replica_settings(model_folder, availability=availability)) as (replica, client):
        shown = {item["item"] for item in client.get("/recommend/new").json()["items"]}
        assert shown == {"i0", "i1", "i4", "i5"}
        replace_model(model_folder, version=8)  # without attributes
        replica.reloader.load_changes()
        assert served_version(client) == "8"
        assert first_item(client) == "i5"
        assert "filters.0.attribute" in client.get("/readyz").json()["problems"]["availability"]
        replace_model(model_folder, version=9, attributes=attributes)
        replica.reloader.load_changes()
        assert client.get("/readyz").json()["problems"] == {}


def test_feedback_survives_a_restart(model_folder: Path) -> None:
    with running_replica(replica_settings(model_folder)) as (_, client):
        client.post("/feedback", json=FEEDBACK)
    with running_replica(replica_settings(model_folder)) as (_, client):
        assert client.get("/recommend/new").json()["fallback_level"] == "folded"
        assert client.post("/feedback", json=FEEDBACK).json() == {"stored": 0, "duplicates": 1}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MARQUEE_DEADLINE_MS", "soon"),
        ("MARQUEE_DEADLINE_MS", "0"),
        ("MARQUEE_DEADLINE_MS", "nan"),
        ("MARQUEE_REPEAT_AFTER", "0"),
        ("MARQUEE_TELEMETRY", "yes"),
        ("MARQUEE_ARM", "a/b"),
        ("MARQUEE_REPLICA", "../up"),
        ("MARQUEE_FAULTS", "on"),
    ],
)
def test_error_names_the_invalid_setting(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        Settings.from_environment({variable: value})


def test_settings_have_defaults() -> None:
    settings = Settings.from_environment({})
    assert (settings.arm, settings.deadline_ms, settings.telemetry) == ("stable", 50.0, True)
    assert settings.faults is None
