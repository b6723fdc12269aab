"""A process that serves carries nothing of what trains, tracks or versions."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.catalogues import write_shop

ROOT = Path(__file__).parents[2]
OFFLINE = {
    "mlflow", "optuna", "dvc", "surprise", "pandas", "numba", "sklearn", "scipy", "matplotlib", "pyarrow",
    "pandera", "experiments", "pipelines",
}  # fmt: skip
SERVE = """
import json, sys
from starlette.testclient import TestClient
import service.app
supervisor = {name.partition(".")[0] for name in sys.modules}
assert not supervisor & {"numpy", "structlog", "service.replica"}, "the supervisor needs none of it"
service.app.Worker.start()
assert "service.api.fault_injection" not in sys.modules, "no request passes through it unless it is asked for"
client = TestClient(service.app.Worker.site)
feedback = {"event_id": "e1", "user": "new", "item": "i4", "kind": "rating", "value": 5}
for path in ("/recommend/ann", "/similar/i0", "/metrics", "/openapi.json", "/docs"):
    assert client.get(path).status_code == 200
assert client.post("/recommend", json={"ratings": {"i4": 5}}).status_code == 200
assert client.post("/feedback", json=feedback).status_code == 202
service.app.Worker.replica.close()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    model = write_shop(tmp_path_factory.mktemp("models") / "fitted", factors=True)
    settings = {"MARQUEE_MODEL": str(model), "MARQUEE_EVENTS": str(model.parent / "events")}
    environment = {**os.environ, **settings, "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-c", SERVE]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_process_that_serves_loads_nothing_of_the_offline_half(loaded: set[str]) -> None:
    assert not loaded & OFFLINE


def test_it_loads_what_it_should(loaded: set[str]) -> None:
    assert {"numpy", "bentoml", "starlette", "marquee", "service"} <= loaded


def test_an_order_to_roll_back_does_not_wait_for_mlflow() -> None:
    told = "import sys, pipelines.commands.canary; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], cwd=ROOT, check=False).returncode == 0
