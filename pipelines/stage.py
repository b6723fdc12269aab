"""The edge of every stage: parameters in, wall time out, and one line where something is wrong."""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.config import Params, load_params
from marquee.errors import MarqueeError
from pipelines.paths import TIMINGS
from pipelines.screen import screen

Stage = Callable[[Params], None]
HEADINGS = "MARQUEE_HEADINGS"  # set where no other tool names the stage before it runs


def run(stage: Stage, name: str) -> None:
    """Run one stage with params.yaml and end the process: 0, or the error's own exit code and line.

    Only `MarqueeError` is caught: it is what a person can mend. Anything else is a defect, and
    its traceback is what the developer needs.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if os.environ.get(HEADINGS):
        screen().print(f"[bold cyan]{name}[/]")
    started = time.perf_counter()
    try:
        stage(load_params())
    except MarqueeError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[red]{name}:[/] ", end="")
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    record_seconds(name, time.perf_counter() - started)


def record_seconds(name: str, seconds: float) -> None:
    """Keep a stage's wall time beside the pipeline: a time in a versioned output would never repeat."""
    timings = read_json(TIMINGS) if TIMINGS.exists() else {}
    write_json(TIMINGS, {**timings, name: {"seconds": round(seconds, 2), "ended": round(time.time(), 2)}})


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object that an earlier stage wrote.

    Raises:
        MarqueeError: the file is missing: its stage has not run.
    """
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MarqueeError(f"{path} is missing: run the pipeline with `make repro`") from None
    return tree


def write_json(path: Path, tree: Any) -> None:
    """Write JSON with sorted keys, so that equal content is equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
