"""The run of the search whose results lie here. Apart from provenance: half of the stages need no MLflow."""

from experiments.tracking.runs import RESTORED, Tracker
from pipelines.support.paths import SEARCH
from pipelines.support.provenance import data_version, search_key


def search_run(tracker: Tracker) -> str:
    """The run of the search whose results lie here.

    Where results came from a cache or a remote, this store never saw the search. A run that says
    so is made then, for the later stages to refer to; it names no commit, for none made it here.
    """
    found = tracker.find_search(search_key())
    if found is not None:
        return found
    restored = tracker.start_search("restored search", data_version(), {}, {RESTORED: "true"})
    tracker.log_file(restored, SEARCH)
    tracker.end_search(restored, search_key())
    return restored
