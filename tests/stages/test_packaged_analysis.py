"""The analysis of a rollout's step, run from a Bento by an interpreter that finds no other code of ours."""

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

from service.analysis import ExitCode
from tests.support.rollout_steps import policy_file, write_users

pytestmark = pytest.mark.xdist_group("package")  # all of them share one Bento
PACKAGES = ("marquee", "service", "experiments", "pipelines")
# A pod runs `python -m service.analysis` in the Bento's folder. So does this, and notes what was loaded.
RUN = f"""
import atexit, importlib.util, json, pathlib, runpy, sys

def note():
    ours = [m.__spec__ for name, m in sys.modules.items() if name.partition(".")[0] in {PACKAGES}]
    ours.append(importlib.util.find_spec("service.analysis"))
    libraries = sorted({{name.partition(".")[0] for name in sys.modules}})
    told = {{"files": [spec.origin for spec in ours], "libraries": libraries}}
    pathlib.Path(notes).write_text(json.dumps(told))

notes = sys.argv.pop(1)
atexit.register(note)
runpy.run_module("service.analysis", run_name="__main__", alter_sys=True)
"""
OFFLINE = {"mlflow", "optuna", "dvc", "surprise", "pandas", "numba", "scipy", "pandera"}
# A window and a step of moments, so that a step is over in seconds.
SHORT: dict[str, Any] = {"window_seconds": 0.5, "step_seconds": 1}


class Isolated:
    """An interpreter in a Bento's source folder that finds no code of ours elsewhere.

    -S leaves the .pth file of an editable install unread: the libraries' folder is put on the path as it is.
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


class Job:
    """One run of the analysis."""

    def __init__(self, isolated: Isolated, folder: Path, options: Sequence[str]) -> None:
        self._notes, self._source = folder / "notes.json", isolated.source
        self._process = isolated.start(RUN, str(self._notes), *options)

    def first_line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline() or self.wait()[2]

    def wait(self) -> tuple[int, str, str]:
        """Exit code, the rest of the output, and standard error."""
        output, errors = self._process.communicate(timeout=90)
        return self._process.returncode, output, errors

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def outsiders(self) -> list[str]:
        """Loaded modules of ours whose file is not the Bento's."""
        files: list[str] = json.loads(self._notes.read_text())["files"]
        assert files
        return [file for file in files if not Path(file).resolve().is_relative_to(self._source.resolve())]

    def libraries(self) -> set[str]:
        return set(json.loads(self._notes.read_text())["libraries"])


@pytest.fixture
def isolated(bento: Path) -> Isolated:
    return Isolated(bento / "src")


@pytest.fixture
def job(isolated: Isolated, tmp_path: Path) -> Iterator[Job]:
    """The Job of a step to which nothing has happened yet."""
    (tmp_path / "events").mkdir()
    policy = policy_file(tmp_path, **SHORT)
    job = Job(isolated, tmp_path, [f"--policy={policy}", f"--events={tmp_path / 'events'}", "--step=0"])
    yield job
    job.end()


def test_the_interpreter_finds_no_code_of_ours_outside_the_bento(isolated: Isolated, tmp_path: Path) -> None:
    look = f"import importlib.util as u; assert not [p for p in {PACKAGES} if u.find_spec(p)]; import numpy"
    _, errors = (process := isolated.start(look, cwd=tmp_path)).communicate(timeout=60)
    assert process.returncode == 0, errors


@pytest.mark.parametrize(
    ("slow", "action", "code"), [(0.0, "advance", ExitCode.GO_ON), (0.5, "roll back", ExitCode.ROLL_BACK)]
)
def test_a_whole_step_ends_with_a_verdict(
    job: Job, tmp_path: Path, slow: float, action: str, code: ExitCode
) -> None:
    assert "no data" in job.first_line()
    write_users(tmp_path / "events", time.time(), better=0.4, slow=slow)
    ended, output, errors = job.wait()
    assert ended == code, errors
    assert json.loads(output.splitlines()[-1])["action"] == action
    assert not job.outsiders()
    assert not job.libraries() & OFFLINE


def test_wrong_input_is_told_and_is_no_verdict(isolated: Isolated, tmp_path: Path) -> None:
    job = Job(isolated, tmp_path, ["--policy=nowhere.json", "--events=.", "--step=0"])
    ended, _, errors = job.wait()
    assert (ended, errors) == (
        ExitCode.INVALID_INPUT, "analysis: nowhere.json cannot be read: No such file or directory\n",
    )  # fmt: skip
    assert not job.outsiders()


def test_all_that_the_bento_holds_can_be_imported_from_it_alone(isolated: Isolated) -> None:
    """A module that it lacks would be missed by a replica, or by the analysis of a step, and not before."""
    names = [
        ".".join(path.relative_to(isolated.source).with_suffix("").parts)
        for package in ("marquee", "service")
        for path in sorted((isolated.source / package).rglob("*.py"))
        if path.name != "__init__.py"
    ]
    assert {"service.analysis", "service.replica"} <= set(names)
    load = "import importlib, sys; print(*[importlib.import_module(name).__file__ for name in sys.argv[1:]])"
    output, errors = (process := isolated.start(load, *names)).communicate(timeout=120)
    assert process.returncode == 0, errors
    assert all(Path(file).resolve().is_relative_to(isolated.source.resolve()) for file in output.split())
