"""DVC stages, CLI commands and the rollout controller: I/O around the other packages."""

import os
import time

# Turn off the libraries' telemetry, however the process was started: by make, by DVC or directly.
for name, value in {
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "true",
}.items():
    os.environ.setdefault(name, value)

PROCESS_START = time.time()  # before the imports of a stage, which take seconds
