"""Analysis of a rollout step, run from a Bento by an interpreter that finds no other project code."""

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from service.kubernetes_analysis_job import ExitCode
from tests.support.rollout_steps import write_policy, write_user_events

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("package")]  # one process, one Bento
PACKAGES = ("marquee", "service", "experiments", "pipelines")
# Runs `python -m service.kubernetes_analysis_job` as a pod does, and writes a list of the loaded modules.
RUN_ANALYSIS = f"""
import atexit, importlib.util, json, pathlib, runpy, sys

def write_loaded_modules():
    specs = [m.__spec__ for name, m in sys.modules.items() if name.partition(".")[0] in {PACKAGES}]
    specs.append(importlib.util.find_spec("service.kubernetes_analysis_job"))
    libraries = sorted({{name.partition(".")[0] for name in sys.modules}})
    loaded = {{"files": [spec.origin for spec in specs], "libraries": libraries}}
    pathlib.Path(path).write_text(json.dumps(loaded))

path = sys.argv.pop(1)
atexit.register(write_loaded_modules)
runpy.run_module("service.kubernetes_analysis_job", run_name="__main__", alter_sys=True)
"""
OFFLINE_LIBRARIES = {"mlflow", "optuna", "dvc", "surprise", "pandas", "numba", "scipy", "pandera"}
SHORT_STEP: dict[str, Any] = {"attribution_window_seconds": 0.5, "min_step_seconds": 1}


class IsolatedInterpreter:
    """Python interpreter that finds the project's code only in the source folder of a Bento.

    With -S, Python ignores the .pth file of the editable install; PYTHONPATH makes the libraries importable.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        libraries = os.pathsep.join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": libraries,
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(self, code: str, *arguments: str, cwd: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-S", "-c", code, *arguments],
            cwd=cwd or self.source,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


class AnalysisJob:
    """Process that analyzes a step."""

    def __init__(self, interpreter: IsolatedInterpreter, folder: Path, options: Sequence[str]) -> None:
        self._loaded, self._source = folder / "loaded.json", interpreter.source
        self._process = interpreter.start(RUN_ANALYSIS, str(self._loaded), *options)

    def read_first_line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline() or self.wait().stderr

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Wait for the exit; the result has the output that was not read before."""
        output, errors = self._process.communicate(timeout=90)
        return subprocess.CompletedProcess(self._process.args, self._process.returncode, output, errors)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def modules_outside_the_bento(self) -> list[str]:
        """Return the files of loaded project modules that are not in the Bento."""
        files: list[str] = json.loads(self._loaded.read_text())["files"]
        assert files
        return [file for file in files if not Path(file).resolve().is_relative_to(self._source.resolve())]

    def loaded_libraries(self) -> set[str]:
        return set(json.loads(self._loaded.read_text())["libraries"])


@pytest.fixture
def interpreter(bento: Path) -> IsolatedInterpreter:
    return IsolatedInterpreter(bento / "src")


@pytest.fixture
def job(interpreter: IsolatedInterpreter, tmp_path: Path) -> Iterator[AnalysisJob]:
    """Analysis of a step that has no events yet."""
    (tmp_path / "events").mkdir()
    policy = write_policy(tmp_path, **SHORT_STEP)
    job = AnalysisJob(
        interpreter, tmp_path, [f"--policy={policy}", f"--events={tmp_path / 'events'}", "--step=0"]
    )
    yield job
    job.kill()


def test_interpreter_finds_no_project_code_outside_the_bento(
    interpreter: IsolatedInterpreter, tmp_path: Path
) -> None:
    code = f"import importlib.util as u; assert not [p for p in {PACKAGES} if u.find_spec(p)]; import numpy"
    process = interpreter.start(code, cwd=tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


@pytest.mark.parametrize(
    ("slow_share", "action", "code"),
    [(0.0, "advance", ExitCode.PROCEED), (0.5, "roll back", ExitCode.ROLL_BACK)],
)
def test_step_ends_with_a_decision(
    job: AnalysisJob, tmp_path: Path, slow_share: float, action: str, code: ExitCode
) -> None:
    assert "no data" in job.read_first_line()
    write_user_events(tmp_path / "events", time.time(), click_lift=0.4, slow_share=slow_share)
    result = job.wait()
    assert result.returncode == code, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["action"] == action
    assert not job.modules_outside_the_bento()
    assert not job.loaded_libraries() & OFFLINE_LIBRARIES


def test_invalid_input_is_reported_and_does_not_roll_back(
    interpreter: IsolatedInterpreter, tmp_path: Path
) -> None:
    job = AnalysisJob(interpreter, tmp_path, ["--policy=nowhere.json", "--events=.", "--step=0"])
    result = job.wait()
    assert result.returncode == ExitCode.INVALID_INPUT
    assert result.stderr == "analysis: cannot read the policy nowhere.json: No such file or directory\n"
    assert not job.modules_outside_the_bento()


def test_every_module_in_the_bento_can_be_imported(interpreter: IsolatedInterpreter) -> None:
    """Otherwise a missing module would be noticed only in a replica or in the analysis of a step."""
    names = [
        ".".join(path.relative_to(interpreter.source).with_suffix("").parts)
        for package in ("marquee", "service")
        for path in sorted((interpreter.source / package).rglob("*.py"))
        if path.name != "__init__.py"
    ]
    assert {"service.kubernetes_analysis_job", "service.replica"} <= set(names)
    load = "import importlib, sys; print(*[importlib.import_module(name).__file__ for name in sys.argv[1:]])"
    process = interpreter.start(load, *names)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert all(Path(file).resolve().is_relative_to(interpreter.source.resolve()) for file in output.split())
