"""A process that serves carries nothing of what trains, tracks or versions."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_recommender import write_small_model

ROOT = Path(__file__).parents[2]
OFFLINE = {
    "mlflow", "optuna", "dvc", "surprise", "pandas", "numba", "sklearn", "scipy", "matplotlib", "pyarrow",
    "pandera", "experiments", "pipelines",
}  # fmt: skip
SERVE = """
import json, sys
import service.app
served = service.app.load(service.app.model_folder())
served.recommender.recommend("ann", 3)
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    model = write_small_model(tmp_path_factory.mktemp("models") / "fitted")
    environment = {**os.environ, "MARQUEE_MODEL": str(model), "BENTOML_DO_NOT_TRACK": "true"}
    command = [sys.executable, "-c", SERVE]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_process_that_serves_loads_nothing_of_the_offline_half(loaded: set[str]) -> None:
    assert not loaded & OFFLINE


def test_it_loads_what_it_should(loaded: set[str]) -> None:
    assert {"numpy", "bentoml", "starlette", "marquee", "service"} <= loaded
