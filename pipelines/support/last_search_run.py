"""MLflow run of the last search, in a separate module because half of the stages do not need MLflow."""

from typing import Any

from experiments.config import Params
from experiments.tracking.runs import RESTORED, ExperimentTracker
from pipelines.support.fetched_source import read_data_version
from pipelines.support.paths import SEARCH
from pipelines.support.provenance import digest_search_results


def find_or_restore_search_run(tracker: ExperimentTracker) -> str:
    """Return the run id of the last search; create a run if the tracking store has none.

    Search results that were restored from a DVC cache or remote have no run in this tracking store, but later
    stages refer to one. The new run is tagged as restored and has no commit, because the results were not
    produced by the code of this clone.
    """
    digest = digest_search_results()
    run_id = tracker.find_search_run(digest)
    if run_id is None:
        run_id = tracker.start_search_run("restored search", read_data_version(), {}, {RESTORED: "true"})
        tracker.log_file(run_id, SEARCH)
        tracker.finish_search_run(run_id, digest)
    return run_id


def download_costs(params: Params, name: str) -> dict[str, Any]:
    """Return the costs logged to the run of the last search, by trial number; empty if there is no run."""
    tracker = ExperimentTracker(params.search.experiment)
    run_id = tracker.find_search_run(digest_search_results())
    return tracker.load_json(run_id, name) if run_id else {}
