"""Telemetry of libraries is off, however a process was started."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SWITCHES = {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "BENTOML_DO_NOT_TRACK": "true"}


@pytest.mark.parametrize("module", ["pipelines.stages.search", "pipelines.stages.package", "pipelines.cli"])
def test_telemetry_is_switched_off_on_import(module: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    script = f"import os, {module}; print(*(os.environ[name] for name in {list(SWITCHES)}))"
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == list(SWITCHES.values())
