"""Jobs in fresh processes, the stopwatch, memory, and the modules that the job of a peer library imports."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.machine import available_cores, peak_resident_mb, resident_mb
from benchmarks.process_jobs import Job, JobFailedError, run_job
from benchmarks.stopwatch import Stopwatch
from benchmarks.table.paired_runs import MARQUEE_COMMAND
from tests.test_architecture import imported_modules

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
PEER_JOB_BENCHMARKS = {"fold_files", "machine", "process_jobs", "stopwatch", "table", "table.peer_job"}
PEER_JOB_MODULES = {  # modules of Marquee: name and file
    "marquee.array_types": "marquee/array_types.py",
    "marquee.metrics": "marquee/metrics/__init__.py",
    "marquee.metrics.prediction": "marquee/metrics/prediction.py",
    "marquee.process_memory": "marquee/process_memory.py",
}


def test_phases_add_up_to_end_to_end_time() -> None:
    stopwatch = Stopwatch()
    stopwatch.end_phase("data")
    stopwatch.end_phase("fit")
    phases = stopwatch.seconds["data"] + stopwatch.seconds["fit"]
    assert stopwatch.summarize()["end_to_end"] == pytest.approx(phases)


def test_peak_memory_is_at_least_resident_memory() -> None:
    assert 0 < resident_mb() <= peak_resident_mb() * 1.01


def test_available_cores_are_limited_to_the_requested_number() -> None:
    assert len(available_cores(1)) <= 1
    assert set(available_cores(1)) <= set(available_cores(2))


def test_failed_job_error_quotes_the_last_line_of_output(tmp_path: Path) -> None:
    with pytest.raises(JobFailedError, match="KeyError: 'nothing'"):
        run_job(MARQUEE_COMMAND, Job("nothing", str(tmp_path)))


def test_peer_job_imports_only_modules_that_need_numpy() -> None:
    command = [sys.executable, "-c", "import sys, benchmarks.table.peer_job; print(*sys.modules)"]
    loaded = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in loaded if name.startswith(("benchmarks.", "marquee."))} == {
        *(f"benchmarks.{name}" for name in PEER_JOB_BENCHMARKS),
        *PEER_JOB_MODULES,
    }
    assert not {name.split(".")[0] for name in loaded} & {"experiments", "pipelines", "service"}
    for path in PEER_JOB_MODULES.values():
        packages = {name.split(".")[0] for name in imported_modules(ROOT / path)}
        assert packages <= {*sys.stdlib_module_names, "numpy", "marquee"}
