"""Entry point of the rollout controller, run by the stack's supervisor.

python -m pipelines.rollout FOLDER MODEL     # folder of the stack, name of the registered model
"""

import logging
import sys
from pathlib import Path

from pipelines.rollout.controller import Controller
from pipelines.rollout.journal import exclusive_lock
from pipelines.support.console import USER_ERRORS, exit_with_error
from service.stack.stack_config import load_stack_config


def run_controller_forever(folder: Path, model: str) -> None:
    """Run the controller of a stack until the process is stopped.

    Args:
        folder: folder of the stack.
        model: name of the registered model.

    Raises:
        MarqueeError: another controller is running.
    """
    stack = load_stack_config(folder)
    with exclusive_lock(folder / "controller.lock", "another controller is running for this stack"):
        Controller(stack, model).run_forever()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    try:
        run_controller_forever(Path(sys.argv[1]), sys.argv[2])
    except USER_ERRORS as error:
        exit_with_error("controller", error)
