"""The controller of rollouts: `python -m pipelines.rollout FOLDER MODEL`, run by a stack's supervisor."""

import logging
import sys
from pathlib import Path

from pipelines.rollout.controller import Controller
from pipelines.rollout.journal import held
from pipelines.support.console import MENDABLE, give_up
from service.stack.stack_config import load_stack


def promote(folder: Path, model: str) -> None:
    """Walk the rollouts of a stack through their steps, until the process is ended.

    Raises:
        MarqueeError: another controller does so already.
    """
    stack = load_stack(folder)
    with held(folder / "controller.lock", "another controller steers this stack: nothing was done"):
        Controller(stack, model).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    try:
        promote(Path(sys.argv[1]), sys.argv[2])
    except MENDABLE as error:
        give_up("controller", error)
