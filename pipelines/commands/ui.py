"""The MLflow UI in its two-process form, and the addresses that compare the last runs."""

from experiments.config.offline import Params
from experiments.tracking.runs import Tracker, compare_path, runs_path
from marquee.errors import TrackingError
from pipelines.support.console import screen
from pipelines.support.processes import become, refuse_taken

N_SEARCHES, N_TRIALS = 5, 10
LOCAL = "127.0.0.1"


def ui(params: Params, *, port: int) -> None:
    """Print the addresses, and serve the tracking store's UI until interrupted.

    Raises:
        TrackingError: the store holds no finished search yet.
        MarqueeError: the port is taken.
    """
    tracker = Tracker(params.search.experiment)
    runs = tracker.recent_searches(N_SEARCHES)
    if not runs:
        raise TrackingError(f"{tracker.uri} holds no finished search yet: run `make repro` first")
    local = not tracker.uri.startswith("http")  # a team's server has its UI already
    if local:
        refuse_taken(port, LOCAL)
    base = f"http://{LOCAL}:{port}" if local else tracker.uri.rstrip("/")
    experiment = tracker.experiment_id
    trials = tracker.best_trials(runs[0], params.search.metric, N_TRIALS)
    console = screen()
    console.print(f"[bold]All runs[/]\n  {base}{runs_path(experiment)}")
    console.print(f"[bold]Compare the best {len(trials)} trials of the last search[/]")
    console.print(f"  {base}{compare_path(experiment, trials)}")
    if len(runs) > 1:
        console.print(
            f"[bold]Compare the last {len(runs)} searches[/]\n  {base}{compare_path(experiment, runs)}"
        )
    if local:
        console.print("Ctrl-C ends it.")
        # One worker and no job execution: two processes and a fifth of the memory of the default.
        settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        arguments = (
            "--workers",
            "1",
            "--host",
            LOCAL,
            "--port",
            str(port),
            "--backend-store-uri",
            tracker.uri,
        )
        become("mlflow", "server", *arguments, environment=settings)
