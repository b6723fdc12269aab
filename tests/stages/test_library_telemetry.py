"""Telemetry of libraries is off in every process of the pipelines package, however it is started."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

OPT_OUT_VARIABLES = {
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "true",
}


@pytest.mark.parametrize("module", ["pipelines.stages.search", "pipelines.stages.package", "pipelines.cli"])
def test_importing_a_pipelines_module_turns_off_telemetry(module: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in OPT_OUT_VARIABLES}
    script = f"import os, {module}; print(*(os.environ[name] for name in {list(OPT_OUT_VARIABLES)}))"
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == list(OPT_OUT_VARIABLES.values())
