"""The edge of every stage: parameters in, wall time out, and one line where something is wrong."""

import json
import logging
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from experiments.config.offline import Params, load_params
from marquee.errors import MarqueeError
from marquee.files.atomic_write import write_json
from pipelines import STARTED
from pipelines.support.console import MENDABLE, give_up
from pipelines.support.paths import TIMINGS

Stage = Callable[[Params], None]


def run(stage: Stage, name: str) -> None:
    """Run one stage with params.yaml and end the process: 0, or the error's own exit code and line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        stage(load_params())
    except MENDABLE as error:
        give_up(name, error)
    except KeyboardInterrupt:
        sys.exit(130)
    _record_seconds(name)


def _leave(number: int, _: FrameType | None) -> NoReturn:
    """End by an exception, so that whoever holds workers or an unfinished run can let go of them."""
    sys.exit(128 + number)


def _record_seconds(name: str) -> None:
    """Keep a stage's wall time beside the pipeline: a time in a versioned output would never repeat."""
    now = time.time()
    try:
        timings = read_json(TIMINGS) if TIMINGS.exists() else {}
    except MarqueeError:
        timings = {}  # times of earlier runs are no reason to fail
    write_json(TIMINGS, {**timings, name: {"seconds": round(now - STARTED, 2), "ended": round(now, 2)}})


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that an earlier stage wrote.

    Raises:
        MarqueeError: the file is missing: its stage has not run.
    """
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MarqueeError(f"{path} is missing: run the pipeline with `make repro`") from None
    except ValueError as error:
        raise MarqueeError(f"{path} is damaged ({error}): delete it and run `make repro`") from None
    return tree
