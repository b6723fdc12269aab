"""`marquee down`: stop the stack, gateways before replicas, so that requests in progress are answered."""

from rich.markup import escape

from marquee.errors import MarqueeError
from pipelines.support.console import create_console
from pipelines.support.paths import STACK_FOLDER
from service.stack.circus_supervisor import SupervisorClient
from service.stack.pid_files import stop_all_processes
from service.stack.stack_config import StackConfig, load_stack_config

STOP_TIMEOUT_S = 5.0  # for processes without a supervisor to end; then they are killed


def stop_stack() -> None:
    """Stop all processes of the stack; do nothing if there are none."""
    folder = STACK_FOLDER.resolve()
    supervisor = SupervisorClient(folder)
    console = create_console()
    was_running = supervisor.is_running
    if was_running:
        try:
            _stop_in_order(supervisor, load_stack_config(folder))
        except MarqueeError as error:
            console.print(f"[yellow]{escape(str(error))}; stopping all processes at once[/]")
        supervisor.shut_down()
    orphans = stop_all_processes(folder, STOP_TIMEOUT_S)  # of a supervisor that was killed
    if was_running or orphans:
        console.print("Stopped. Events, logs and rollout journals are kept.")
    else:
        console.print("The stack is not running.")


def _stop_in_order(supervisor: SupervisorClient, stack: StackConfig) -> None:
    """Stop watchdogs and controller, then gateways.

    Watchdogs are stopped first, because they would kill a gateway that is draining.
    """
    for name in (*stack.heartbeat_processes, *(gateway.name for gateway in stack.gateways)):
        supervisor.stop_process(name)
