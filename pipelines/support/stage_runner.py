"""Entry point of all stages: read the parameters, run the stage, print errors, and save the wall time."""

import logging
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from experiments.config import Params, load_params
from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_json
from pipelines import PROCESS_START
from pipelines.support.console import INTERRUPTED_EXIT_CODE, USER_ERRORS, exit_with_error
from pipelines.support.json_reader import read_json
from pipelines.support.paths import TIMINGS

Stage = Callable[[Params], None]


def run_stage(stage: Stage, name: str) -> None:
    """Run a stage with the parameters of params.yaml.

    An error that the user can fix ends the process with one line and the error's exit code; other errors end
    it with a traceback.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit_on_signal)
    try:
        stage(load_params())
    except USER_ERRORS as error:
        exit_with_error(name, error)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_EXIT_CODE)
    _save_timing(name)


def _exit_on_signal(number: int, _: FrameType | None) -> NoReturn:
    """Raise SystemExit, so that context managers stop workers and close unfinished MLflow runs."""
    sys.exit(128 + number)


def _save_timing(name: str) -> None:
    """Save a stage's wall time outside its outputs, which must be reproducible."""
    now = time.time()
    try:
        timings = read_json(TIMINGS) if TIMINGS.exists() else {}
    except MarqueeError:
        timings = {}  # damaged timings of earlier runs must not fail this one
    timing = {"seconds": round(now - PROCESS_START, 2), "ended": round(now, 2)}
    write_json(TIMINGS, {**timings, name: timing})
