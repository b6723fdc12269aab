"""Measurement jobs, each run in a fresh process on a limited number of cores.

    parent   run_job(command, job)     --job.json-->      child   run_requested_job(tasks)
                                       <--result.json--

The environments of other libraries import this module too, so it needs only the standard library.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

JobResult = dict[str, Any]  # figures by name, JSON-serializable
MAX_JOB_SECONDS = 4 * 3600
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MARQUEE_THREADS")


@dataclass(frozen=True)
class Job:
    """Work for a child process, passed to it as JSON."""

    task: str  # key in the mapping that the child passes to `run_requested_job`
    folder: str  # folder of the ratings and folds
    library: str = "marquee"
    algorithm: str = ""  # class name
    parameters: Mapping[str, Any] = field(default_factory=dict)
    fold: int = 0
    cores: tuple[int, ...] = ()  # cores that the child may use; empty: all
    repeats: int = 1  # number of repetitions within the child process


Tasks = Mapping[str, Callable[[Job], JobResult]]


class JobFailedError(Exception):
    """The child process ended without a result; the message is the last line of its standard error."""


def run_job(command: Sequence[str], job: Job, environment: Mapping[str, str] | None = None) -> JobResult:
    """Run a job in a fresh process and return its result.

    Args:
        command: command of the child, to which the paths of job and result are appended.
        job: job to run.
        environment: additional environment variables.

    Raises:
        JobFailedError: the child ended without a result.
    """
    with TemporaryDirectory() as folder:
        job_path, result_path = Path(folder) / "job.json", Path(folder) / "result.json"
        job_path.write_text(json.dumps(asdict(job)), encoding="utf-8")
        process = subprocess.run(
            [*command, str(job_path), str(result_path)],
            env=os.environ | _thread_limits(job.cores) | dict(environment or {}),
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=MAX_JOB_SECONDS,
            check=False,
        )
        if process.returncode or not result_path.exists():
            raise JobFailedError(_last_line(process.stderr) or f"exit code {process.returncode}")
        result: JobResult = json.loads(result_path.read_text(encoding="utf-8"))
        return result


def run_requested_job(tasks: Tasks) -> None:
    """Run the job whose file is named in this process's arguments, on its cores; write the result file."""
    job_path, result_path = Path(sys.argv[1]), Path(sys.argv[2])
    job = Job(**json.loads(job_path.read_text(encoding="utf-8")))
    if job.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job.cores)
    result_path.write_text(json.dumps(tasks[job.task](job)), encoding="utf-8")


def _thread_limits(cores: Sequence[int]) -> dict[str, str]:
    """Return environment variables that limit numeric libraries to one thread per core."""
    return {name: str(len(cores)) for name in THREAD_VARIABLES} if cores else {}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
