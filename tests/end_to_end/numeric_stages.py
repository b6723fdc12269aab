"""Run the numeric stages in one process: `python numeric_stages.py FOLDER` prints the digest of every output.

FOLDER must contain params.yaml. Nothing is tracked or registered, because the outputs of these stages do not
depend on it.
"""

import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

from threadpoolctl import threadpool_info

from experiments.config import load_params
from experiments.search.run import SearchOutcome, run_search
from experiments.search.specification import SearchSpec
from experiments.search.training_space import candidate_spaces
from experiments.search.user_scores import UserScores
from experiments.search.worker import run_worker
from marquee.files.atomic_write import write_json
from pipelines.stages.evaluate import evaluate_on_test_set
from pipelines.stages.export import export
from pipelines.stages.fetch import fetch_data_source
from pipelines.stages.fit import fit
from pipelines.stages.ingest import convert_to_parquet
from pipelines.stages.measure import measure_best_trials
from pipelines.stages.refit import refit
from pipelines.stages.search import build_trials_record
from pipelines.stages.select import select
from pipelines.stages.split import hold_out_test_set
from pipelines.stages.validate import quarantine_invalid_rows
from pipelines.support.paths import SEARCH, TRIAL_COSTS, USER_SCORES
from pipelines.support.search_spec import build_search_spec
from pipelines.support.stage_results import save_costs


def run_stages() -> None:
    """Run the stages from fetch to export in the current folder."""
    params = load_params()
    for stage in (fetch_data_source, convert_to_parquet, quarantine_invalid_rows, hold_out_test_set):
        stage(params)
    spec = build_search_spec(params)
    outcome = run_search_in_process(spec)
    write_json(SEARCH, build_trials_record(params, outcome.trials))
    UserScores.from_trials(outcome.trials, outcome.columns, spec.metric.user_metric).save(USER_SCORES)
    save_costs(TRIAL_COSTS, {trial.number: trial.cost for trial in outcome.trials})
    with patch("pipelines.stages.evaluate.find_champion", return_value=None):  # no model registry here
        for stage in (measure_best_trials, select, fit, evaluate_on_test_set, refit, export):
            stage(params)


def run_search_in_process(spec: SearchSpec) -> SearchOutcome:
    """Run the search with a worker thread: a worker process would import and compile everything again."""
    assignment = spec.create_worker_assignment()
    assignment.open_queue(candidate_spaces(spec.search), create=True)
    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(run_worker, assignment, should_leave=lambda: False)
        outcome = run_search(spec, lambda _: None)
        worker.result()
    return outcome


def output_digests() -> dict[str, str]:
    """Return the SHA-256 of each file below data, results and models."""
    files = (
        path for name in ("data", "results", "models") for path in Path(name).rglob("*") if path.is_file()
    )
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    run_stages()
    kernels = sorted(
        {library["architecture"] for library in threadpool_info() if library["user_api"] == "blas"}
    )
    print(json.dumps({"blas": kernels, "digests": output_digests()}))
