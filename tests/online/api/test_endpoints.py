"""Responses of every route over HTTP, to valid and invalid requests."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from marquee.model.item_attributes import encode_attributes
from service.recommendation.loaded_model import LoadedModel
from service.recommendation.recommender import UserContext
from service.replica import Replica
from tests.support.manifest_fields import IMPLICIT_FIELDS, SEPARATE_FIELDS
from tests.support.sample_replica import (
    ITEMS,
    PROVENANCE,
    USERS,
    RunningReplica,
    replica_settings,
    running_replica,
    write_sample_model,
)

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_model(tmp_path_factory.mktemp("models") / "fitted", scorers="factors", version=7)


@pytest.fixture
def sample_replica(model_folder: Path, tmp_path: Path) -> Iterator[RunningReplica]:
    with running_replica(replica_settings(model_folder, events=tmp_path / "events")) as replica_and_client:
        yield replica_and_client


@pytest.fixture
def client(sample_replica: RunningReplica) -> TestClient:
    return sample_replica.client


def item_ids(response: httpx.Response) -> list[str]:
    return [item["item"] for item in response.json()["items"]]


def assert_problem(response: httpx.Response, status: int, field: str | None = None) -> None:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body.get("field") == field


def test_response_has_user_fallback_level_items_and_model(client: TestClient) -> None:
    response = client.get("/recommend/ann?n=2")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body["model"]["name"] == "marquee"
    assert body["model"]["version"] == 7
    assert body["model"]["digest"]
    assert (body["model"]["recommender"], body["model"]["predictor"]) == ("svd", "svd")
    assert body["score_unit"] == "stars"
    assert (body["user"], body["fallback_level"]) == ("ann", "personal")
    assert body["items"][0] == {"item": "i3", "title": "Da 5 Bloods", "score": 4.75}


def test_titles_are_encoded_as_utf_8(client: TestClient) -> None:
    response = client.get("/recommend/ann?n=2")
    assert "七人の侍".encode() in response.content


def test_unknown_user_gets_popular_items(client: TestClient) -> None:
    response = client.get("/recommend/nobody?n=2")
    assert response.status_code == 200
    assert response.json()["fallback_level"] == "popular"
    assert item_ids(response) == ["i4", "i0"]


def test_default_n_is_ten(client: TestClient) -> None:
    assert client.get("/recommend/nobody").json() == client.get("/recommend/nobody?n=10").json()


def test_plain_text_response_is_item_ids_separated_by_commas(client: TestClient) -> None:
    response = client.get("/recommend/ann?n=3", headers={"accept": "text/plain"})
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text == "i3,i2,i1"


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "application/json, text/plain", "text/html", ""]
)
def test_other_media_types_get_json(client: TestClient, accept: str) -> None:
    response = client.get("/recommend/ann", headers={"accept": accept})
    assert response.headers["content-type"] == "application/json"


def test_user_ids_are_percent_decoded(client: TestClient) -> None:
    response = client.get("/recommend/zo%C3%AB%2F4")
    assert response.json()["user"] == "zoë/4"


@pytest.mark.parametrize("n", ["0", "-1", "ten", "101", "", "1.5", "1e1", "٣", "9" * 5000, "%2B5", "1%00"])
def test_invalid_n_is_a_problem(client: TestClient, n: str) -> None:
    assert_problem(client.get(f"/recommend/ann?n={n}"), 422, "n")


@pytest.mark.parametrize("n", [1, 100])
def test_smallest_and_largest_n_are_valid(client: TestClient, n: int) -> None:
    assert client.get(f"/recommend/ann?n={n}").status_code == 200


@pytest.mark.parametrize(
    "user", ["", "a%00b", "a%0Ab", "a%0A", "%0D", "%1B", "%7F", "x" * 257, "%C3%A9" * 129]
)
def test_invalid_user_id_is_a_problem(client: TestClient, user: str) -> None:
    assert_problem(client.get(f"/recommend/{user}"), 422, "user")


@pytest.mark.parametrize("user", ["x" * 256, "%C3%A9" * 128, "%20", "..%2F..", "a%C2%A0b", "%F0%9F%8E%AC"])
def test_unusual_user_id_is_an_unknown_user(client: TestClient, user: str) -> None:
    response = client.get(f"/recommend/{user}?n=1")
    assert response.status_code == 200
    assert response.json()["fallback_level"] == "popular"


@pytest.mark.parametrize("path", ["/", "/nope", "/version/", "/docs.json", "/similar", "/livez/x"])
def test_unknown_route_is_a_problem(client: TestClient, path: str) -> None:
    assert_problem(client.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/recommend/ann", "GET"),
        ("GET", "/recommend", "POST"),
        ("DELETE", "/version", "GET"),
        ("GET", "/feedback", "POST"),
        ("PUT", "/similar/i0", "GET"),
    ],
)
def test_wrong_method_is_a_problem_that_lists_allowed_methods(
    client: TestClient, method: str, path: str, allowed: str
) -> None:
    response = client.request(method, path)
    assert_problem(response, 405)
    assert allowed in response.headers["allow"]


def test_head_request_gets_status_200(client: TestClient) -> None:
    assert client.head("/recommend/ann").status_code == 200


def test_version_has_manifest_and_provenance(client: TestClient, model_folder: Path) -> None:
    version = client.get("/version").json()
    manifest = json.loads((model_folder / "manifest.json").read_text())
    assert {key: version[key] for key in manifest} == manifest
    assert version["provenance"] == PROVENANCE
    assert len(version["digest"]) == 64


def test_every_response_has_arm_model_version_and_request_id(client: TestClient) -> None:
    for response in (
        client.get("/recommend/ann"),
        client.get("/recommend/ann?n=zero"),
        client.get("/nope"),
        client.get("/items/i0"),
        client.post("/predict", content=b"{"),
    ):
        assert response.headers["x-arm"] == "stable"
        assert response.headers["x-model-version"] == "7"
        assert response.headers["x-request-id"]


def test_valid_request_id_of_the_client_is_kept(client: TestClient) -> None:
    response = client.get("/recommend/ann", headers={"x-request-id": "abc-1.2_3"})
    assert response.headers["x-request-id"] == "abc-1.2_3"


@pytest.mark.parametrize("request_id", ["x" * 65, "a b", '"', "a/b"])
def test_invalid_request_id_is_replaced(client: TestClient, request_id: str) -> None:
    response = client.get("/recommend/ann", headers={"x-request-id": request_id})
    assert response.headers["x-request-id"] not in {"", request_id}


def test_request_without_id_gets_a_new_one(client: TestClient) -> None:
    request_ids = {client.get("/recommend/ann").headers["x-request-id"] for _ in range(3)}
    assert len(request_ids) == 3


def test_excluded_items_are_left_out_and_unknown_ids_ignored(client: TestClient) -> None:
    response = client.get("/recommend/nobody?n=2&exclude=i4,no%20such")
    assert item_ids(response) == ["i0", "i1"]


def test_genre_filter_is_applied(client: TestClient) -> None:
    body = client.get("/recommend/nobody?n=2&genre=Comedy").json()
    assert [item["item"] for item in body["items"]] == ["i4", "i1"]
    assert body["relaxed_filters"] == []


def test_exhausted_genre_is_relaxed(client: TestClient) -> None:
    body = client.get("/recommend/bob?n=1&genre=Horror").json()
    assert (body["fallback_level"], body["relaxed_filters"]) == ("static", ["genre"])


@pytest.mark.parametrize(
    ("query", "field", "status"),
    [
        ("genre=Comdy", "genre", 422),
        ("genre=", "genre", 422),
        ("genre=%00", "genre", 422),
        ("exclude=a,,b", "exclude", 422),
        ("exclude=" + "x" * 257, "exclude", 422),
        ("exclude=" + "a," * 1000 + "a", "exclude", 422),
        ("exclude=%0A", "exclude", 422),
        ("n=1&n=2", "n", 422),
        ("m=1", "m", 422),
        ("n=%FF", "query", 400),
        ("&".join(f"n{number}=" for number in range(101)), "query", 400),
    ],
)
def test_invalid_query_is_a_problem_that_names_the_field(
    client: TestClient, query: str, field: str, status: int
) -> None:
    assert_problem(client.get(f"/recommend/ann?{query}"), status, field)


def test_similar_genre_is_suggested(client: TestClient) -> None:
    assert "Comedy" in client.get("/recommend/ann?genre=Comdy").json()["detail"]


def test_empty_recommendations_are_a_problem(client: TestClient) -> None:
    assert_problem(client.get("/recommend/zo%C3%AB%2F3"), 422, "user")
    assert_problem(client.get(f"/recommend/nobody?exclude={','.join(ITEMS)}"), 422, "exclude")


def test_visitor_is_folded_in_by_ratings_in_the_body(client: TestClient) -> None:
    body = client.post("/recommend", json={"ratings": {"i4": 5.0}, "n": 2}).json()
    assert (body["user"], body["fallback_level"]) == (None, "folded")
    assert [item["item"] for item in body["items"]] == ["i1", "i5"]


def test_filters_apply_to_visitors(client: TestClient) -> None:
    body = {"ratings": {"i4": 5}, "exclude": ["i1"], "genre": "Comedy", "n": 1}
    assert item_ids(client.post("/recommend", json=body)) == ["i5"]


@pytest.mark.parametrize("body", [{"ratings": {}}, {"clicks": []}, {}])
def test_visitor_without_history_gets_popular_items(client: TestClient, body: dict[str, Any]) -> None:
    assert client.post("/recommend", json=body).json()["fallback_level"] == "popular"


def test_clicked_items_are_not_recommended_to_a_visitor(client: TestClient) -> None:
    response = client.post("/recommend", json={"clicks": ["i4"], "n": 5})
    assert "i4" not in item_ids(response)


@pytest.fixture(scope="module")
def separate_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model with an item-item recommender and an SVD as predictor."""
    folder = tmp_path_factory.mktemp("models") / "fitted"
    return write_sample_model(folder, scorers="separate", **SEPARATE_FIELDS)


@pytest.fixture
def separate_client(separate_folder: Path) -> Iterator[TestClient]:
    with running_replica(replica_settings(separate_folder, telemetry="off")) as (_, client):
        yield client


def test_visitor_with_three_clicks_gets_a_list_of_relative_scores(separate_client: TestClient) -> None:
    body = separate_client.post("/recommend", json={"clicks": ["i1", "i2", "i3"], "n": 2}).json()
    assert (body["fallback_level"], body["score_unit"]) == ("folded", "relative")
    assert body["items"][0] == {"item": "i4", "title": '"Q", & A', "score": 2.0}


def test_visitor_with_ratings_is_scored_by_the_recommender(separate_client: TestClient) -> None:
    body = separate_client.post("/recommend", json={"ratings": {"i1": 5, "i2": 4}, "n": 2}).json()
    assert (body["fallback_level"], [item["item"] for item in body["items"]]) == ("folded", ["i3", "i0"])


def test_ratings_are_predicted_by_the_predictor(separate_client: TestClient) -> None:
    body = separate_client.post("/predict", json={"pairs": [{"user": "ann", "item": "i0"}]}).json()
    assert body["predictions"][0]["rating"] == 4.0  # of the SVD; the score of the recommender is relative
    assert (body["model"]["recommender"], body["model"]["predictor"]) == ("ease", "svd")


def test_version_has_both_recipes_and_what_the_scores_belong_to(separate_client: TestClient) -> None:
    version = separate_client.get("/version").json()
    assert version["recommender"] == {"algorithm": "ease", "parameters": {"reg": 100.0}, "seed": 43}
    assert version["predictor"] == {"algorithm": "svd", "parameters": {"n_factors": 2}, "seed": 42}
    assert (version["score_unit"], version["feedback"]) == ("relative", "explicit")
    assert version["metrics_note"] == "scores of the recipes, trained on 90% of the interactions"


@pytest.fixture
def implicit_client(tmp_path: Path) -> Iterator[TestClient]:
    """Client of a model of implicit feedback."""
    folder = write_sample_model(tmp_path / "fitted", scorers="implicit item weights", **IMPLICIT_FIELDS)
    with running_replica(replica_settings(folder)) as (_, client):
        yield client


def test_prediction_without_a_predictor_is_a_conflict(implicit_client: TestClient) -> None:
    response = implicit_client.post("/predict", json={"pairs": [{"user": "ann", "item": "i0"}]})
    assert_problem(response, 409)
    assert response.json()["detail"].startswith(
        "the model predicts no ratings: it was trained on implicit feedback"
    )


def test_invalid_prediction_request_is_reported_before_the_conflict(implicit_client: TestClient) -> None:
    assert_problem(implicit_client.post("/predict", json={"pairs": []}), 422, "pairs")


def test_ratings_of_a_visitor_are_rejected_by_a_model_of_implicit_feedback(
    implicit_client: TestClient,
) -> None:
    response = implicit_client.post("/recommend", json={"ratings": {"i1": 5}})
    assert_problem(response, 422, "ratings.i1")
    assert "send the items in clicks" in response.json()["detail"]


@pytest.mark.parametrize("kind", ["click", "watch", "rating"])
def test_any_feedback_personalizes_the_list_of_a_new_user(implicit_client: TestClient, kind: str) -> None:
    event = {"event_id": "e1", "user": "new", "item": "i4", "kind": kind, "value": 1}
    assert implicit_client.get("/recommend/new").json()["fallback_level"] == "popular"
    assert implicit_client.post("/feedback", json=event).status_code == 202
    body = implicit_client.get("/recommend/new?n=1").json()
    assert (body["fallback_level"], body["items"][0]["item"]) == ("folded", "i5")


def test_similar_items_have_titles_and_similarities(client: TestClient) -> None:
    body = client.get("/similar/i0?n=3").json()
    assert body["items"][0] == {"item": "i2", "title": "七人の侍", "similarity": 0.5}
    assert body["items"][2]["similarity"] is None
    assert len(body["items"]) == 3


def test_sums_of_similarities_are_no_scores_in_stars(client: TestClient) -> None:
    body = client.post("/recommend", json={"clicks": ["i0"], "n": 2}).json()
    assert (body["fallback_level"], body["score_unit"]) == ("folded", "stars")
    assert [(item["item"], item["score"]) for item in body["items"]] == [("i2", None), ("i3", None)]


def test_ratings_of_pairs_are_predicted(client: TestClient) -> None:
    pairs = [{"user": "ann", "item": "i0"}, {"user": "nobody", "item": "i0"}]
    rows = client.post("/predict", json={"pairs": pairs}).json()["predictions"]
    assert rows[0] == {"user": "ann", "item": "i0", "rating": 4.0, "impossible": False}
    assert rows[1] == {"user": "nobody", "item": "i0", "rating": 3.5, "impossible": True}


def test_history_of_a_user_is_folded_in_once_for_all_their_pairs(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users, build_context = list[str](), Replica.build_user_context

    def build_and_count(replica: Replica, model: LoadedModel, user: str) -> UserContext:
        users.append(user)
        return build_context(replica, model, user)

    monkeypatch.setattr(Replica, "build_user_context", build_and_count)
    pairs = [{"user": user, "item": item} for item in ("i0", "i5", "i0") for user in ("ann", "bob")]
    with running_replica(replica_settings(model_folder, events=tmp_path / "events")) as (_, client):
        rows = client.post("/predict", json={"pairs": pairs}).json()["predictions"]
    assert [{"user": row["user"], "item": row["item"]} for row in rows] == pairs
    assert users == ["ann", "bob"]


def test_item_has_title_and_genres(client: TestClient) -> None:
    description = {
        "item": "i3",
        "title": "Da 5 Bloods",
        "genres": ["Drama", "War"],
        "attributes": {},
        "available": True,
    }
    assert client.get("/items/i3").json() == description


@pytest.mark.parametrize("path", ["/items/none", "/similar/none"])
def test_unknown_item_in_the_path_is_not_found(client: TestClient, path: str) -> None:
    assert_problem(client.get(path), 404, "item")


FEEDBACK = {"event_id": "e1", "user": "new", "item": "i4", "kind": "rating", "value": 5}


def test_feedback_is_stored_once_and_changes_the_next_response(client: TestClient) -> None:
    assert client.get("/recommend/new?n=1").json()["fallback_level"] == "popular"
    assert client.get("/recommend/new").json()["fallback_level"] == "popular"  # cached from now on
    first = client.post("/feedback", json=FEEDBACK)
    assert (first.status_code, first.json()) == (202, {"stored": 1, "duplicates": 0})
    second = client.post("/feedback", json=[FEEDBACK, {**FEEDBACK, "event_id": "e2", "item": "i1"}])
    assert second.json() == {"stored": 1, "duplicates": 1}
    third = client.get("/recommend/new")
    assert third.json()["fallback_level"] == "folded"
    assert not {"i4", "i1"} & set(item_ids(third))


def test_feedback_on_an_unknown_item_is_stored(client: TestClient) -> None:
    assert client.post("/feedback", json={**FEEDBACK, "item": "newer than the model"}).status_code == 202


def test_feedback_is_rejected_if_telemetry_is_off(model_folder: Path) -> None:
    with running_replica(replica_settings(model_folder, telemetry="off")) as (_, client):
        assert client.get("/recommend/ann").status_code == 200
        assert_problem(client.post("/feedback", json=FEEDBACK), 503)


INVALID_BODIES: list[tuple[str, Any, str]] = [
    ("/recommend", {"ratings": {"none": 3}}, "ratings.none"),
    ("/recommend", {"ratings": {"i0": 0.5}}, "ratings.i0"),
    ("/recommend", {"ratings": {"i0": 5.5}}, "ratings.i0"),
    ("/recommend", {"ratings": {"i0": "5"}}, "ratings.i0"),
    ("/recommend", {"ratings": {"i0": None}}, "ratings.i0"),
    ("/recommend", {"ratings": {"i0": True}}, "ratings.i0"),
    ("/recommend", {"ratings": {"": 3}}, "ratings..[key]"),
    ("/recommend", {"ratings": [1]}, "ratings"),
    ("/recommend", {"ratings": None}, "ratings"),
    ("/recommend", {"clicks": ["none"]}, "clicks[0]"),
    ("/recommend", {"clicks": ["i0", 1]}, "clicks[1]"),
    ("/recommend", {"clicks": {"i0": 1}}, "clicks"),
    ("/recommend", {"clicks": ["i0"] * 1001}, "clicks"),
    ("/recommend", {"ratings": {}, "n": 0}, "n"),
    ("/recommend", {"ratings": {}, "n": -1}, "n"),
    ("/recommend", {"ratings": {}, "n": 10**9}, "n"),
    ("/recommend", {"ratings": {}, "n": "ten"}, "n"),
    ("/recommend", {"ratings": {}, "n": 1.0}, "n"),
    ("/recommend", {"ratings": {}, "exclude": ["x" * 10_240]}, "exclude[0]"),
    ("/recommend", {"ratings": {}, "exclude": ["a\0b"]}, "exclude[0]"),
    ("/recommend", {"ratings": {}, "exclude": [None]}, "exclude[0]"),
    ("/recommend", {"ratings": {}, "genre": "None"}, "genre"),
    ("/recommend", {"ratings": {}, "more": 1}, "more"),
    ("/recommend", [], "body"),
    ("/recommend", None, "body"),
    ("/predict", {"pairs": []}, "pairs"),
    ("/predict", {"pairs": [{"user": "ann", "item": "none"}]}, "pairs[0].item"),
    ("/predict", {"pairs": [{"user": "ann"}]}, "pairs[0].item"),
    ("/predict", {"pairs": [{"user": "", "item": "i0"}]}, "pairs[0].user"),
    ("/predict", {"pairs": [{"user": "ann", "item": "i0"}] * 1001}, "pairs"),
    ("/feedback", {**FEEDBACK, "value": 6}, "[0].value"),
    ("/feedback", {**FEEDBACK, "kind": "like"}, "kind"),
    ("/feedback", {**FEEDBACK, "event_id": ""}, "event_id"),
    ("/feedback", {**FEEDBACK, "event_id": "\u001b"}, "event_id"),
    ("/feedback", {**FEEDBACK, "user": "\ud800"}, "user"),
    ("/feedback", {**FEEDBACK, "request_id": "a b"}, "request_id"),
    ("/feedback", {**FEEDBACK, "time": 4e9}, "[0].time"),
    ("/feedback", {**FEEDBACK, "time": -1}, "time"),
    ("/feedback", {**FEEDBACK, "kind": "watch", "value": -1}, "value"),
    ("/feedback", {**FEEDBACK, "kind": "click", "value": 2}, "value"),
    ("/feedback", {key: value for key, value in FEEDBACK.items() if key != "value"}, "value"),
    ("/feedback", [FEEDBACK, {**FEEDBACK, "item": None}], "[1].item"),
    ("/feedback", [], "body"),
    ("/feedback", [FEEDBACK] * 1001, "body"),
]


@pytest.mark.parametrize(("path", "body", "field"), INVALID_BODIES)
def test_invalid_body_is_a_problem_that_names_the_field(
    sample_replica: RunningReplica, path: str, body: Any, field: str
) -> None:
    replica, client = sample_replica
    assert_problem(client.post(path, content=json.dumps(body).encode(), headers=JSON), 422, field)
    assert replica.event_writer is not None
    assert replica.event_writer.snapshot_counters().feedback.offered == 0


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff", "body"),
        (b'{"ratings": {"i0": NaN}}', "body"),
        (b'{"ratings": {"i0": -Infinity}}', "body"),
        (b'{"n": 1, "n": 2}', "n"),
        (b'{"ratings": {"i0": 1, "i0": 2}}', "i0"),
        (b"[" * 100_000, "body"),
        (b'{"n": ' + b"9" * 5000 + b"}", "body"),
    ],
)
@pytest.mark.parametrize("path", ["/recommend", "/predict", "/feedback"])
def test_malformed_json_is_a_problem(client: TestClient, path: str, content: bytes, field: str) -> None:
    assert_problem(client.post(path, content=content, headers=JSON), 400, field)


def test_number_too_large_for_a_float_is_rejected(client: TestClient) -> None:
    assert_problem(
        client.post("/recommend", content=b'{"ratings": {"i0": 1e999}}', headers=JSON), 422, "ratings.i0"
    )


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", ""]
)
def test_unsupported_content_type_is_rejected(client: TestClient, content_type: str) -> None:
    response = client.post("/feedback", content=b"{}", headers={"content-type": content_type})
    assert_problem(response, 415, "content-type")


def test_compressed_body_is_rejected(client: TestClient) -> None:
    response = client.post("/feedback", content=b"{}", headers={**JSON, "content-encoding": "gzip"})
    assert_problem(response, 415, "content-encoding")


@pytest.mark.parametrize(("n_bytes", "status"), [(1 << 20, 400), ((1 << 20) + 1, 413)])
def test_largest_valid_body_has_one_mebibyte(client: TestClient, n_bytes: int, status: int) -> None:
    assert_problem(client.post("/feedback", content=b" " * n_bytes, headers=JSON), status, "body")


def test_too_large_body_is_rejected_with_and_without_content_length(client: TestClient) -> None:
    large = b" " * (20 << 20)
    assert_problem(client.post("/feedback", content=large, headers=JSON), 413, "body")
    pieces = (large[: 1 << 16] for _ in range(100))
    assert_problem(client.post("/feedback", content=pieces, headers=JSON), 413, "body")


def test_replica_without_a_model_is_alive_and_responds_with_problems(tmp_path: Path) -> None:
    with running_replica(replica_settings(tmp_path / "nothing")) as (_, client):
        assert client.get("/livez").status_code == 200
        for path in ("/recommend/ann", "/version", "/readyz", "/items/i0"):
            response = client.get(path)
            assert_problem(response, 503)
            assert "manifest.json" in response.json()["detail"]
        assert_problem(client.post("/feedback", json=FEEDBACK), 503)


def test_internal_error_is_a_problem_without_details(
    sample_replica: RunningReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("a secret")

    replica, client = sample_replica
    monkeypatch.setattr(replica, "require_loaded_model", fail)
    for response in (client.get("/items/i0"), client.get("/recommend/ann")):
        assert_problem(response, 500)
        assert "secret" not in response.text


def test_metrics_have_bounded_labels_and_no_user_ids(client: TestClient) -> None:
    for user in [*USERS, *(f"user{number}" for number in range(200))]:
        client.get(f"/recommend/{user}")
    client.get("/items/i0")
    client.get("/somewhere/else")
    page = client.get("/metrics").text
    assert 'marquee_requests_total{route="/recommend/{user}",status="200"}' in page
    assert 'marquee_requests_total{route="/items/{item}",status="200"} 1.0' in page
    assert 'marquee_recommendations_total{fallback_level="popular"}' in page
    assert 'marquee_events_total{kind="exposure",outcome="offered"}' in page
    assert "user17" not in page
    assert len(page) < 20_000


def test_openapi_document_lists_every_route(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {
        "/recommend/{user}",
        "/recommend",
        "/similar/{item}",
        "/predict",
        "/feedback",
        "/items/{item}",
    } < set(paths)


def test_openapi_document_describes_what_a_score_and_a_version_mean(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert schemas["Recommendations"]["properties"]["score_unit"]["enum"] == ["stars", "relative"]
    assert {"recommender", "predictor"} <= set(schemas["Recommendations"]["properties"]["model"]["required"])
    assert {"recommender", "predictor", "metrics_note"} <= set(schemas["Version"]["required"])
    assert "409" in document["paths"]["/predict"]["post"]["responses"]


def test_docs_page_has_no_external_links(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "http://" not in page.text
    assert "https://" not in page.text


@pytest.fixture
def attribute_client(tmp_path: Path) -> Iterator[TestClient]:
    """Client of a model whose items have languages."""
    attributes = encode_attributes({"language": ["en", "fr", "ja", "en", "en|fr", ""]})
    folder = write_sample_model(tmp_path / "fitted", attributes=attributes)
    with running_replica(replica_settings(folder)) as (_, client):
        yield client


def test_items_can_be_filtered_by_attribute(attribute_client: TestClient) -> None:
    assert item_ids(attribute_client.get("/recommend/nobody?language=fr&n=2")) == ["i4", "i1"]
    assert item_ids(attribute_client.get("/recommend/nobody?language=en&genre=Drama&n=1")) == ["i3"]
    body = {"attributes": {"language": "fr"}, "n": 2}
    assert item_ids(attribute_client.post("/recommend", json=body)) == ["i4", "i1"]
    assert attribute_client.get("/items/i4").json()["attributes"] == {"language": "en|fr"}


def test_exhausted_attribute_filter_is_relaxed_and_reported(attribute_client: TestClient) -> None:
    body = attribute_client.get("/recommend/nobody?language=ja&n=2").json()
    assert (body["fallback_level"], body["relaxed_filters"]) == ("static", ["language"])
    assert body["items"][0]["item"] == "i2"


@pytest.mark.parametrize(
    ("query", "field"), [("language=de", "language"), ("colour=red", "colour"), ("genres=Drama", "genres")]
)
def test_unknown_attribute_or_value_is_a_problem(
    attribute_client: TestClient, query: str, field: str
) -> None:
    assert_problem(attribute_client.get(f"/recommend/nobody?{query}"), 422, field)


def test_unknown_attribute_in_a_body_is_a_problem(attribute_client: TestClient) -> None:
    response = attribute_client.post("/recommend", json={"attributes": {"colour": "red"}})
    assert_problem(response, 422, "attributes.colour")


def test_response_carries_predicted_ratings_if_asked_for(client: TestClient) -> None:
    assert "predicted_rating" not in client.get("/recommend/ann").text
    for item in client.get("/recommend/ann?predicted_ratings=true").json()["items"]:
        pair = {"user": "ann", "item": item["item"]}
        (predicted,) = client.post("/predict", json={"pairs": [pair]}).json()["predictions"]
        assert item["predicted_rating"] == pytest.approx(predicted["rating"], abs=1e-4)
    visitor = client.post("/recommend", json={"ratings": {"i4": 5}, "predicted_ratings": True}).json()
    assert visitor["fallback_level"] == "folded"
    assert all(1 <= item["predicted_rating"] <= 5 for item in visitor["items"])


def test_impossible_predictions_are_null(client: TestClient) -> None:
    body = client.get("/recommend/nobody?predicted_ratings=true").json()
    assert {item["predicted_rating"] for item in body["items"]} == {None}


def test_predicted_ratings_without_a_predictor_are_a_conflict(implicit_client: TestClient) -> None:
    assert_problem(implicit_client.get("/recommend/ann?predicted_ratings=true"), 409)
    assert_problem(implicit_client.post("/recommend", json={"predicted_ratings": True}), 409)
    assert implicit_client.get("/recommend/ann?predicted_ratings=false").status_code == 200


@pytest.mark.parametrize("value", ["1", "", "True"])
def test_invalid_switch_is_a_problem(client: TestClient, value: str) -> None:
    response = client.get(f"/recommend/ann?predicted_ratings={value}")
    assert_problem(response, 422, "predicted_ratings")
