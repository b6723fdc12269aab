"""`marquee canary start`: run preflight checks, build the Bento, and submit a rollout to the controller."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from experiments.config import Params
from experiments.tracking.model_registry import ModelVersion
from experiments.tracking.rollout_runs import RolloutRun
from marquee.errors import MarqueeError, TrackingError
from marquee.rollout.arms import CANARY, STABLE
from pipelines.rollout.alarm_self_test import run_alarm_self_test
from pipelines.rollout.failure_log_check import check_failure_logs
from pipelines.rollout.journal import check_no_active_rollout, create_journal
from pipelines.rollout.params_conversion import build_policy, dump_canary_params
from pipelines.support.bento import prepare_arm
from pipelines.support.console import create_console
from pipelines.support.model_versions import require_rollout_versions
from pipelines.support.paths import STACK_FOLDER
from service.gateway.traffic_split import draw_salt
from service.stack.circus_supervisor import SupervisorClient
from service.stack.stack_config import StackConfig, load_stack_config


def submit_rollout(params: Params, version: int | None) -> None:
    """Submit a rollout to the running controller by creating its journal.

    Args:
        params: parameters of the project.
        version: version of the registered model; None for the challenger.

    Raises:
        MarqueeError: the stack is not running or its number of replicas differs from params.yaml, a rollout
            is running, there is nothing to roll out, or a preflight check failed.
    """
    stack = load_stack_config(STACK_FOLDER.resolve())
    _check_stack(stack, params)
    champion, challenger = require_rollout_versions(params.registration.model, version)
    if challenger.version == champion.version:
        raise MarqueeError(
            f"version {champion.version} is already the champion; there is nothing to roll out"
        )
    console = create_console()
    for line in run_alarm_self_test(build_policy(params.canary)):
        console.print(f"Preflight  {line}")
    check_failure_logs(stack)
    console.print(f"Preflight  failure logs: all {len(stack.gateways)} gateways logged a failed request")
    _print_capacity_note(console, stack)
    arm = prepare_arm(params, challenger)
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-v{champion.version}-to-v{challenger.version}"
    run = _start_run(params, name, champion, challenger)
    fields: dict[str, Any] = {
        "salt": draw_salt(),
        "champion": champion.version,
        "challenger": challenger.version,
        "bento": arm.bento,
        "run_id": run.run_id,
        "params": dump_canary_params(params.canary),
    }
    try:
        create_journal(stack.folder, name, **fields)
    except (MarqueeError, OSError) as error:
        run.cancel(str(error))
        raise
    console.print(f"Started    {name}; follow it with `marquee canary watch`")


def _check_stack(stack: StackConfig, params: Params) -> None:
    """Check that the stack is running without a rollout, with as many canary replicas as in params.yaml."""
    if not SupervisorClient(stack.folder).is_running:
        raise MarqueeError("the stack is not running; start it with `marquee up`")
    check_no_active_rollout(stack.folder)
    if len(stack.replicas[CANARY]) != params.canary.replicas:
        raise MarqueeError(
            "canary.replicas has changed since the stack was started; run `marquee down`, then `marquee up`"
        )


def _print_capacity_note(console: Console, stack: StackConfig) -> None:
    n_canary, n_stable = (len(stack.replicas[arm]) for arm in (CANARY, STABLE))
    if n_canary < n_stable:
        console.print(
            f"Note       in the last step, {n_canary} canary replica(s) will serve all users, as {n_stable} "
            "stable replicas do now; see canary.replicas"
        )


def _start_run(params: Params, name: str, champion: ModelVersion, challenger: ModelVersion) -> RolloutRun:
    """Start the rollout's MLflow run."""
    experiment = f"{params.search.experiment}-rollouts"
    tags = {"champion": str(champion.version), "challenger": str(challenger.version)}
    try:
        return RolloutRun.start(experiment, name, tags, dump_canary_params(params.canary))
    except TrackingError as error:
        raise TrackingError(
            f"{error}; the rollout was not started, because it could not be tracked"
        ) from None
