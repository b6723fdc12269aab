"""Begin a rollout: its alarms tried, its Bento there, its run in MLflow; then the controller takes over."""

from datetime import UTC, datetime

from experiments.config.offline import Params
from experiments.tracking.rollout_runs import RolloutRun
from marquee.errors import MarqueeError, TrackingError
from pipelines.rollout.journal import create, refuse_another
from pipelines.rollout.policy_config import told_of
from pipelines.rollout.preflight import rehearse
from pipelines.support.arms import arm_of, champion_and_candidate
from pipelines.support.console import screen
from pipelines.support.paths import RUN
from service.gateway.traffic_split import draw_salt
from service.stack.stack_config import CANARY, STABLE, load_stack
from service.stack.supervisor import Supervisor


def begin(params: Params, to: int | None) -> None:
    """Begin one of a version, of the challenger where none is named.

    Raises:
        MarqueeError: nothing is up, a rollout runs, there is nothing to roll out, or an alarm cannot fire.
    """
    stack = load_stack(RUN.resolve())
    if not Supervisor(stack.folder).running:
        raise MarqueeError("nothing is up: run `marquee up` first")
    refuse_another(stack.folder)  # before anything is rehearsed at its gateways
    if len(stack.replicas[CANARY]) != params.canary.replicas:
        raise MarqueeError("canary.replicas changed since `marquee up`: `marquee down`, then `marquee up`")
    now, target = champion_and_candidate(params.register_.model, to)
    if target.version == now.version:
        raise MarqueeError(f"version {now.version} is the champion already: there is nothing to roll out")
    console = screen()
    for line in rehearse(stack, params.canary):
        console.print(f"Rehearsed {line}")
    few, many = (len(stack.replicas[arm]) for arm in (CANARY, STABLE))
    if few < many:
        console.print(
            f"Note      at the last step {few} of {many} replicas serve everybody: see canary.replicas"
        )
    arm = arm_of(params, target)
    title = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-v{now.version}-to-v{target.version}"
    tags = {"champion": str(now.version), "challenger": str(target.version)}
    try:
        run = RolloutRun.start(f"{params.search.experiment}-rollouts", title, tags, told_of(params.canary))
    except TrackingError as error:
        raise TrackingError(f"{error}: a rollout is not begun without its record") from None
    try:
        create(
            stack.folder,
            title,
            salt=draw_salt(),
            champion=now.version,
            challenger=target.version,
            bento=arm.bento,
            run_id=run.run_id,
            policy=told_of(params.canary),
        )
    except (MarqueeError, OSError) as error:
        run.never_began(str(error))
        raise
    console.print(f"Began     {title}: `marquee canary watch` shows how it goes")
