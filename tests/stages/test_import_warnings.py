"""Nothing phones home, however a stage was started."""

import os
import subprocess
import sys

import pytest

SWITCHES = {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "BENTOML_DO_NOT_TRACK": "true"}


@pytest.mark.parametrize("module", ["pipelines.stages.search", "pipelines.stages.package", "pipelines.cli"])
def test_a_bare_environment_gets_every_switch(module: str) -> None:
    bare = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    script = f"import os, {module}; print(*(os.environ[name] for name in {list(SWITCHES)}))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=bare, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == list(SWITCHES.values())
