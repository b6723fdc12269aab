"""What the last search and its measuring found, with costs where they are remembered.

Costs are no part of a versioned file, for they differ from run to run. They are noted in this clone by the
stage that took them, and kept with the search's run in the tracking store, which takes seconds to ask.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from experiments.config.offline import Params
from experiments.evaluation.candidate_metrics import MeasuredCost, Measures
from experiments.search.trials import Cost, Trial, from_record
from experiments.selection.search_results import Findings
from marquee.files.atomic_write import write_json
from pipelines.support.paths import COSTS, MEASURED_COSTS, MEASURES, SEARCH, STATE
from pipelines.support.provenance import search_key
from pipelines.support.stage_runner import read_json

Costs = Mapping[str, Any]  # by the trial's number


def last_trials(params: Params) -> list[Trial]:
    """The trials of results/search.json."""
    costs = remembered(params, COSTS)
    return [
        from_record(record, Cost(**costs[key]) if (key := str(record["number"])) in costs else None)
        for record in read_json(SEARCH)["trials"]
    ]


def last_findings(params: Params) -> Findings:
    """The same, with what results/measures.json has of the best of each candidate."""
    costs, told = remembered(params, MEASURED_COSTS), read_json(MEASURES)
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


def note_costs(name: str, costs: Mapping[int, Cost | MeasuredCost | None]) -> None:
    """Note what was taken for the search that lies here."""
    told = {str(number): asdict(cost) for number, cost in costs.items() if cost}
    write_json(STATE / name, {"search_key": search_key(), "costs": told})


def remembered(params: Params, name: str) -> Costs:
    """What this clone noted, if that is of the search that lies here; else what the tracking store has."""
    told = read_json(STATE / name) if (STATE / name).exists() else {}
    if told.get("search_key") == search_key():
        costs: Costs = told["costs"]
        return costs
    return _in_store(params, name)


def _in_store(params: Params, name: str) -> Costs:
    from experiments.tracking.runs import Tracker

    tracker = Tracker(params.search.experiment)
    found = tracker.find_search(search_key())
    return tracker.logged_json(found, name) if found else {}
