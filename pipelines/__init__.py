"""Verbs: one module a stage or command. They read, call the other packages, and write."""

import os
import time

# Nothing that we start phones home, however it was started: by make, by DVC, or by hand.
for name, value in {
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "true",
}.items():
    os.environ.setdefault(name, value)

STARTED = time.time()  # of this process: this file runs before a stage's own imports, which take seconds
