"""Bring the stack down: gateways before replicas, so that what was begun is finished."""

from marquee.errors import MarqueeError
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
    stack = load_stack(folder)
    # Wardens before gateways: one that only finishes what it is answering says nothing to them.
    try:
        for name in (*stack.beating, *(gateway.name for gateway in stack.gateways)):
            supervisor.stop(name)
    except MarqueeError as error:
        console.print(f"[yellow]{error}: what is left is ended all the same[/]")
    supervisor.end()
    console.print("Down. Events, logs and the journals of rollouts stay.")
