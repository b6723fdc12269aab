"""Restart the champion's replicas one after the other, each drained at the gateways first; nobody notices.

What they start with is the champion as it is now: another Bento, where the code was packaged anew.
"""

from experiments.config.offline import Params
from experiments.tracking.registry import champion
from marquee.errors import MarqueeError
from pipelines.rollout.actuator import Hands
from pipelines.rollout.journal import active
from pipelines.support.arms import arm_of
from pipelines.support.console import screen
from pipelines.support.paths import RUN
from service.stack.stack_config import STABLE, load_stack, read_arms, write_arms
from service.stack.supervisor import Supervisor


def restart(params: Params) -> None:
    """Restart all of them.

    Raises:
        MarqueeError: nothing is up, a rollout runs, or a replica does not become ready: then the others
            still serve what they did.
    """
    stack = load_stack(RUN.resolve())
    if not Supervisor(stack.folder).running:
        raise MarqueeError("nothing is up: run `marquee up` first")
    if running := active(stack.folder):
        raise MarqueeError(f"rollout {running.rollout().name} runs: end it first, or wait for its end")
    version = champion(params.register_.model)
    if version is None:
        raise MarqueeError("there is no champion to serve: run `make repro` first")
    write_arms(stack.folder, {**read_arms(stack.folder), STABLE: arm_of(params, version)})
    hands, console = Hands(stack), screen()
    for server in stack.replicas[STABLE]:
        hands.roll(server.name)
        console.print(f"{server.name} is ready again, with version {version.version}")
