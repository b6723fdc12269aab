"""Bring the stack down: gateways before replicas, so that what was begun is finished."""

from marquee.errors import MarqueeError
from pipelines.support.console import screen
from pipelines.support.paths import RUN
from service.stack.launch import end_all
from service.stack.stack_config import Stack, load_stack
from service.stack.supervisor import Supervisor

PATIENCE_S = 5.0


def down() -> None:
    """End every process; ending what is not up is no error."""
    folder = RUN.resolve()
    supervisor = Supervisor(folder)
    console = screen()
    running = supervisor.running
    if running:
        try:
            _in_turn(supervisor, load_stack(folder))
        except MarqueeError as error:
            console.print(f"[yellow]{error}: all of it is ended at once[/]")
        supervisor.end()
    left = end_all(folder, PATIENCE_S)  # what a supervisor that was killed has left behind
    if running or left:
        console.print("Down. Events, logs and the journals of rollouts stay.")
    else:
        console.print("Nothing is up.")


def _in_turn(supervisor: Supervisor, stack: Stack) -> None:
    """Wardens before gateways: one that only finishes what it is answering says nothing to them."""
    for name in (*stack.beating, *(gateway.name for gateway in stack.gateways)):
        supervisor.stop(name)
