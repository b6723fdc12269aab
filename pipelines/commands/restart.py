"""`marquee restart`: restart the champion's replicas one after the other.

Each replica is drained at the gateways first, so no request is lost. The replicas start with the current
champion, in a new Bento if the code has changed.
"""

from experiments.config import Params
from marquee.errors import MarqueeError
from marquee.rollout.arms import STABLE
from pipelines.rollout.actuator import StackActuator
from pipelines.rollout.journal import find_active_journal
from pipelines.support.bento import prepare_arm
from pipelines.support.console import create_console
from pipelines.support.model_versions import require_champion
from pipelines.support.paths import STACK_FOLDER
from service.stack.circus_supervisor import SupervisorClient
from service.stack.stack_config import load_stack_config, read_arms, write_arms


def restart_stable_replicas(params: Params) -> None:
    """Restart all replicas of the champion.

    Raises:
        MarqueeError: the stack is not running, a rollout is running, or a replica did not become ready; the
            replicas after it keep their old version.
    """
    stack = load_stack_config(STACK_FOLDER.resolve())
    if not SupervisorClient(stack.folder).is_running:
        raise MarqueeError("the stack is not running; start it with `marquee up`")
    if journal := find_active_journal(stack.folder):
        name = journal.read_rollout().name
        raise MarqueeError(
            f"rollout {name} is running; wait until it ends, or end it with `marquee canary rollback`"
        )
    champion = require_champion(params.registration.model)
    write_arms(stack.folder, {**read_arms(stack.folder), STABLE: prepare_arm(params, champion)})
    actuator, console = StackActuator(stack), create_console()
    for replica in stack.replicas[STABLE]:
        actuator.restart_replica(replica.name)
        console.print(f"{replica.name} is ready with version {champion.version}")
