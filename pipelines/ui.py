"""The MLflow UI in its two-process form, and the addresses that compare the last runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from experiments.config import Params
from experiments.tracking import Tracker, compare_path, runs_path
from marquee.errors import TrackingError
from pipelines.ports import refuse_taken
from pipelines.screen import screen

N_SEARCHES, N_TRIALS = 5, 10
LOCAL = "127.0.0.1"


def ui(params: Params, *, port: int) -> None:
    """Serve the tracking store's UI until interrupted.

    Raises:
        TrackingError: the store holds no finished search yet.
        MarqueeError: the port is taken.
    """
    tracker = Tracker(params.search.experiment)
    runs = tracker.recent_searches(N_SEARCHES)
    if not runs:
        raise TrackingError(f"{tracker.uri} holds no finished search yet: run `make repro` first")
    refuse_taken(port, LOCAL)
    base, experiment = f"http://{LOCAL}:{port}", tracker.experiment_id
    trials = tracker.best_trials(runs[0], params.search.metric, N_TRIALS)
    console = screen()
    console.print(f"[bold]All runs[/]\n  {base}{runs_path(experiment)}")
    console.print(f"[bold]Compare the best {len(trials)} trials of the last search[/]")
    console.print(f"  {base}{compare_path(experiment, trials)}")
    if len(runs) > 1:
        console.print(
            f"[bold]Compare the last {len(runs)} searches[/]\n  {base}{compare_path(experiment, runs)}"
        )
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
