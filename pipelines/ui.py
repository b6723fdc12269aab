"""The MLflow UI in its two-process form, and the address that compares the last runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from experiments.config import Params
from experiments.tracking import Tracker, compare_path
from marquee.errors import TrackingError
from pipelines.ports import refuse_taken

N_COMPARED = 5
LOCAL = "127.0.0.1"


def ui(params: Params, *, port: int) -> None:
    """Serve the tracking store's UI until interrupted.

    Raises:
        TrackingError: the store holds no finished search yet.
        MarqueeError: the port is taken.
    """
    tracker = Tracker(params.search.experiment)
    runs = tracker.recent_searches(N_COMPARED)
    if not runs:
        raise TrackingError(f"{tracker.uri} holds no finished search yet: run `make repro` first")
    refuse_taken(port, LOCAL)
    base = f"http://{LOCAL}:{port}"
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]All runs[/]      {base}/#/experiments/{tracker.experiment_id}")
    console.print(f"[bold]Compare last[/]  {base}{compare_path(tracker.experiment_id, runs)}", markup=True)
    console.print("Ctrl-C ends it.")
    _serve(tracker.uri, port)


def _serve(uri: str, port: int) -> None:
    """One worker and no job execution: two processes and a fifth of the memory of the default."""
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [str(Path(sys.executable).with_name("mlflow")), "server", "--workers", "1"]
    command += ["--host", LOCAL, "--port", str(port), "--backend-store-uri", uri]
    server = subprocess.Popen(command, env={**os.environ, **quiet}, start_new_session=True)
    try:
        server.wait()
    except KeyboardInterrupt:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
