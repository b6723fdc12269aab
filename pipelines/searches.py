"""What the last search found: its run, its trials, and what was measured of them.

Apart from provenance: half of the stages need no MLflow.
"""

from dataclasses import asdict
from typing import Any

from experiments.config import Params
from experiments.findings import Findings
from experiments.measures import MeasuredCost, Measures
from experiments.tracking import COSTS, MEASURED_COSTS, RESTORED, Tracker
from experiments.trials import Cost, Trial, from_record
from pipelines.paths import MEASURES, SEARCH
from pipelines.provenance import data_version, search_key
from pipelines.stage import read_json


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


def last_trials(params: Params) -> list[Trial]:
    """The trials of results/search.json, with their costs where the tracking store remembers them."""
    costs = _remembered(params, COSTS)
    return [
        from_record(record, Cost(**costs[key]) if (key := str(record["number"])) in costs else None)
        for record in read_json(SEARCH)["trials"]
    ]


def last_findings(params: Params) -> Findings:
    """The same, with what results/measures.json has of the best of each candidate."""
    costs, told = _remembered(params, MEASURED_COSTS), read_json(MEASURES)
    measured = {
        record["trial"]: Measures.from_record(
            record, MeasuredCost(**costs[key]) if (key := str(record["trial"])) in costs else None
        )
        for record in told["candidates"]
    }
    return Findings(
        last_trials(params),
        measured,
        params.search.metric,
        told["n"],
        told["relevant_from"],
        told["leakage"],
    )


def remember_costs(tracker: Tracker, run_id: str, measured: list[Measures]) -> None:
    """Keep the costs with the search's run: they are no part of a versioned file."""
    costs = {str(one.trial): asdict(one.cost) for one in measured if one.cost}
    tracker.log_json(run_id, costs, MEASURED_COSTS)


def _remembered(params: Params, name: str) -> dict[str, Any]:
    tracker = Tracker(params.search.experiment)
    found = tracker.find_search(search_key())
    return tracker.logged_json(found, name) if found else {}
