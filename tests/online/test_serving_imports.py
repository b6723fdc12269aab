"""Imports of a serving process: no package for training, tracking or versioning is loaded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sample_replica import write_sample_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OFFLINE = {
    "mlflow", "optuna", "dvc", "surprise", "pandas", "numba", "sklearn", "scipy", "matplotlib", "pyarrow",
    "pandera", "experiments", "pipelines",
}  # fmt: skip
SERVE_ALL_ROUTES = """
import json, sys
from starlette.testclient import TestClient
import service.app
supervisor = {name.partition(".")[0] for name in sys.modules}
assert not supervisor & {"numpy", "structlog", "service.replica"}, "the supervisor must not load them"
service.app.Worker.start_replica()
assert "service.api.fault_injection" not in sys.modules, "load fault injection only if faults are configured"
client = TestClient(service.app.Worker.application)
feedback = {"event_id": "e1", "user": "new", "item": "i4", "kind": "rating", "value": 5}
for path in ("/recommend/ann", "/similar/i0", "/metrics", "/openapi.json", "/docs"):
    assert client.get(path).status_code == 200
assert client.post("/recommend", json={"ratings": {"i4": 5}}).status_code == 200
assert client.post("/feedback", json=feedback).status_code == 202
service.app.Worker.replica.close()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.fixture(scope="module")
def loaded_packages(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Packages that a process has loaded after it served every route."""
    model = write_sample_model(tmp_path_factory.mktemp("models") / "fitted", scorers="factors")
    settings = {"MARQUEE_MODEL": str(model), "MARQUEE_EVENTS": str(model.parent / "events")}
    environment = {**os.environ, **settings, "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-c", SERVE_ALL_ROUTES]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return set(json.loads(process.stdout.splitlines()[-1]))


def test_serving_process_loads_no_offline_package(loaded_packages: set[str]) -> None:
    assert not loaded_packages & OFFLINE


def test_serving_process_loads_the_serving_packages(loaded_packages: set[str]) -> None:
    assert {"numpy", "bentoml", "starlette", "marquee", "service"} <= loaded_packages


def test_canary_command_does_not_load_mlflow() -> None:
    """An operator's rollback must not wait for a slow import."""
    script = "import sys, pipelines.commands.canary; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
