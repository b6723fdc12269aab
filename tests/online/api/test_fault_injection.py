"""Fault injection: parsing of the setting, and the requests that are affected."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from marquee.errors import ConfigError
from service.api.fault_injection import FaultInjection
from service.api.serving_application import ServingApplication
from service.fault_settings import Faults
from service.replica import Replica
from tests.support.bentoml_server import BentoMLServer
from tests.support.sample_replica import replica_settings, write_sample_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sample_model(tmp_path_factory.mktemp("models") / "fitted", version=7)


@contextmanager
def client_with_faults(
    model: Path, faults: str, *, draws: Sequence[float] = (), times: Sequence[float] = ()
) -> Iterator[TestClient]:
    """Yield a client of a replica with faults; once `draws` or `times` are used up, 0 follows."""
    replica = Replica(replica_settings(model, telemetry="off"))
    draw, clock = iter(draws), iter(times)
    app = FaultInjection(
        ServingApplication(replica),
        replica,
        Faults.parse(faults),
        draw=lambda: next(draw, 0.0),
        clock=lambda: next(clock, 0.0),
    )
    replica.start()
    try:
        yield TestClient(app, raise_server_exceptions=False)
    finally:
        replica.close()


def test_faults_are_parsed() -> None:
    assert Faults.parse("version=4,error_rate=0.3") == Faults("4", error_rate=0.3)
    assert Faults.parse("delay_ms=200,version=a1b2,after_s=60") == Faults("a1b2", delay_ms=200, after_s=60)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("on", "'on' is unknown"),
        ("version=4,error_rat=0.3", "'error_rat' is unknown"),
        ("error_rate=0.3", "version is missing"),
        ("version=,error_rate=0.3", "version is missing"),
        ("version=4", "must be greater than 0"),
        ("version=4,error_rate=0,after_s=5", "must be greater than 0"),
        ("version=4,error_rate=1.5", "error_rate must be between 0 and 1"),
        ("version=4,error_rate=-1", "error_rate must be between 0 and 1"),
        ("version=4,error_rate=nan", "error_rate must be between 0 and 1"),
        ("version=4,delay_ms=inf", "delay_ms must be between"),
        ("version=4,delay_ms", "delay_ms must be between"),
        ("version=4,error_rate=0.3,error_rate=0.4", "repeated"),
        ("version=4,error_rate=0.3,", "'' is unknown"),
    ],
)
def test_invalid_faults_are_rejected(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"MARQUEE_FAULTS.*{message}"):
        Faults.parse(text)


def test_configured_share_of_recommendations_fails(model: Path) -> None:
    with client_with_faults(model, "version=7,error_rate=0.3", draws=[0.29, 0.3, 0.1, 0.9]) as client:
        responses = [client.get("/recommend/ann", headers={"x-request-id": "one"}) for _ in range(4)]
        metrics = client.get("/metrics").text
    assert [response.status_code for response in responses] == [500, 200, 500, 200]
    failed = responses[0]
    assert failed.headers["content-type"] == "application/problem+json"
    assert [failed.headers[name] for name in ("x-arm", "x-model-version", "x-request-id")] == [
        "stable",
        "7",
        "one",
    ]
    assert 'marquee_requests_total{route="/recommend/{user}",status="500"} 2.0' in metrics


def test_other_versions_and_routes_are_not_affected(model: Path) -> None:
    with client_with_faults(model, "version=8,error_rate=1") as client:
        assert client.get("/recommend/ann").status_code == 200
    with client_with_faults(model, "version=7,error_rate=1") as client:
        assert client.get("/recommend/ann").status_code == 500
        assert [client.get(path).status_code for path in ("/livez", "/readyz", "/version")] == [200] * 3


def test_recommendation_is_delayed(model: Path) -> None:
    with client_with_faults(model, "version=7,delay_ms=80", draws=[0.0]) as client:
        start = time.monotonic()
        assert client.get("/recommend/ann").status_code == 200
    assert time.monotonic() - start >= 0.08


def test_faults_start_after_the_configured_time(model: Path) -> None:
    times = [100.0, 159.9, 160.0]
    with client_with_faults(model, "version=7,error_rate=1,after_s=60", times=times) as client:
        assert [client.get("/recommend/ann").status_code for _ in range(2)] == [200, 500]


def test_readiness_check_reports_fault_injection(model: Path) -> None:
    with client_with_faults(model, "version=7,error_rate=0.5") as client:
        problems = client.get("/readyz").json()["problems"]
    assert list(problems) == ["faults"]
    assert "error_rate=0.5" in problems["faults"]


@pytest.mark.server
@pytest.mark.parametrize(("faults", "status"), [("version=7,error_rate=1", 500), ("", 200)])
def test_server_injects_faults_only_if_they_are_configured(
    model: Path, tmp_path: Path, faults: str, status: int
) -> None:
    server = BentoMLServer(model, tmp_path, faults=faults)
    try:
        server.wait_until_alive()
        assert server.get("/recommend/ann").status_code == status
        assert ("FAULT INJECTION IS ON" in server.log.read_text()) == (status == 500)
        assert ("faults" in server.get("/readyz").json()["problems"]) == (status == 500)
    finally:
        server.stop()
