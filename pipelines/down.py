"""Bring the stack down: gateways first, so that what was begun is finished."""

from pipelines.paths import RUN
from pipelines.screen import screen
from service.stack.layout import load_stack
from service.stack.supervisor import Supervisor


def down() -> None:
    """End every process; ending what is not up is no error."""
    folder = RUN.resolve()
    supervisor = Supervisor(folder)
    console = screen()
    if not supervisor.running:
        console.print("Nothing is up.")
        return
    for gateway in load_stack(folder).gateways:
        supervisor.stop(gateway.name)
    supervisor.end()
    console.print("Down. Events, logs and the journals of rollouts stay.")
