"""`marquee ui`: serve the MLflow UI, and print links to the pages that compare the last runs."""

from experiments.config import Params
from experiments.search.metric import MetricSetting
from experiments.tracking.runs import ExperimentTracker, compare_url_path, runs_url_path
from marquee.errors import TrackingError
from pipelines.support.console import create_console
from pipelines.support.ports import check_port_free
from pipelines.support.programs import replace_process

MAX_SEARCHES, MAX_TRIALS = 5, 10  # on the pages that compare them
HOST = "127.0.0.1"


def start_mlflow_ui(params: Params, *, port: int) -> None:
    """Print links and, unless the tracking server is remote, replace this process with the MLflow UI.

    Raises:
        TrackingError: the tracking store has no finished search.
        MarqueeError: the port is in use.
    """
    tracker = ExperimentTracker(params.search.experiment)
    runs = tracker.recent_search_run_ids(MAX_SEARCHES)
    if not runs:
        raise TrackingError(f"{tracker.uri} has no finished search; run `make repro` first")
    if tracker.uri.startswith("http"):  # a remote tracking server has its own UI
        _print_links(tracker, tracker.uri.rstrip("/"), runs, params.search.metric_weights)
        return
    check_port_free(port, HOST)
    _print_links(tracker, f"http://{HOST}:{port}", runs, params.search.metric_weights)
    create_console().print("Press Ctrl-C to stop.")
    # One worker and no job execution: two processes, with a fifth of the memory that the defaults need.
    options = ["--workers", "1", "--host", HOST, "--port", str(port), "--backend-store-uri", tracker.uri]
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    replace_process("mlflow", "server", *options, environment=environment)


def _print_links(tracker: ExperimentTracker, base: str, runs: list[str], metric: MetricSetting) -> None:
    """Print the URLs of pages with all runs, the best trials of the last search, and the last searches."""
    console = create_console()
    experiment = tracker.experiment_id
    trials = tracker.top_trial_run_ids(runs[0], metric, MAX_TRIALS)
    pages = {
        "All runs": runs_url_path(experiment),
        f"The best {len(trials)} trials of the last search": compare_url_path(experiment, trials),
    }
    if len(runs) > 1:
        pages[f"The last {len(runs)} searches"] = compare_url_path(experiment, runs)
    for title, path in pages.items():
        console.print(f"[bold]{title}[/]\n  {base}{path}", soft_wrap=True)
