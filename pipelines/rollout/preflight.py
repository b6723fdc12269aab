"""Preflight checks of a rollout: the alarm self-test, and a test of the gateways' failure logs.

The self-test simulates the worst possible canary for each alarm, with the code and the parameters of the
rollout. The second test sends requests that must fail to the gateways, and looks for them in the failure
logs.
"""

import http.client
import time
from collections.abc import Iterator, Mapping

import numpy as np

from experiments.config.online import CanaryParams
from marquee.errors import MarqueeError
from marquee.rollout.accumulator import EvidenceAccumulator
from marquee.rollout.decision_types import Action
from marquee.rollout.evidence import GUARDRAIL_METRICS, LIST_METRICS, RolloutConditions
from marquee.rollout.guardrail_baseline import MIN_MINUTES
from marquee.rollout.policy import PromotionPolicy, decide
from pipelines.rollout.params_conversion import build_policy
from service.gateway.api_keys import API_KEY_FILE
from service.gateway.failure_log import FailureLog
from service.gateway.haproxy_config import PROBE_PATH
from service.stack.stack_config import StackConfig

MAX_CANARY_USERS = 10_000  # every alarm must go off within this number of users
USERS_PER_BATCH = 10
# List metrics are compared by their means over many users. An alarm that has not gone off after this many
# times `min_list_users` never will.
MAX_LIST_USERS_RATIO = 20
MAX_PROBES = 200  # requests until every gateway has received one
PROBE_TIMEOUT_S = 2
LOG_DELAY_S = 3.0  # for a gateway to write its failure log
CONDITIONS = RolloutConditions(
    step=0, step_seconds=0.0, rollout_seconds=0.0, data_age_seconds={"stable": 0.0, "canary": 0.0}
)


def run_preflight(stack: StackConfig, params: CanaryParams) -> Iterator[str]:
    """Run all checks; yield a line for each one that passes.

    Raises:
        MarqueeError: an alarm does not go off, or a failure is missing from the log of a gateway.
    """
    yield from _test_alarms(build_policy(params))
    _check_failure_logs(stack)
    yield f"failure logs: all {len(stack.gateways)} gateways logged a failed request"


def _test_alarms(policy: PromotionPolicy) -> Iterator[str]:
    """Test every alarm in the first step, then the alarm of every guardrail metric in the last step."""
    for name in (*GUARDRAIL_METRICS, *LIST_METRICS, "sample_ratio_mismatch", "quality"):
        n_users = count_users_until_alarm(policy, name)
        if n_users is None:
            raise MarqueeError(
                f"the alarm '{name}' does not go off within {MAX_CANARY_USERS} canary users, even if all "
                "of them are affected; check canary.max_odds_ratio, canary.max_increase and "
                "canary.guardrail_alpha"
            )
        yield f"{_label(name)}: a broken canary is rolled back after {n_users} of its users"
    for name in GUARDRAIL_METRICS:
        n_users = count_users_until_last_step_alarm(policy, name)
        if n_users is None:
            raise MarqueeError(
                f"the alarm '{name}' does not go off in the last step, even if all users are affected; "
                "check canary.max_odds_ratio"
            )
        yield f"{_label(name)}, last step: a broken canary is rolled back after {n_users} users"


def count_users_until_alarm(policy: PromotionPolicy, name: str) -> int | None:
    """Return the number of users after which the worst possible canary is rolled back in the first step.

    Args:
        policy: policy to test.
        name: a guardrail metric, a list metric, `sample_ratio_mismatch` or `quality`.

    Returns:
        Number of canary users, or None if the alarm does not go off.
    """
    accumulator = EvidenceAccumulator(policy)
    max_users = MAX_CANARY_USERS
    if name in LIST_METRICS:
        max_users = min(max_users, MAX_LIST_USERS_RATIO * policy.min_list_users)
    for n_users in range(USERS_PER_BATCH, max_users + 1, USERS_PER_BATCH):
        _record_bad_batch(accumulator, name, policy.steps[0])
        if decide(accumulator.evidence(CONDITIONS), policy).action == Action.ROLL_BACK:
            return n_users
    return None


def _record_bad_batch(accumulator: EvidenceAccumulator, name: str, allocation: float) -> None:
    """Record a batch of affected canary users, with unaffected stable users as the allocation implies."""
    n_canary, n_stable = USERS_PER_BATCH, max(1, round(USERS_PER_BATCH * (1 - allocation) / allocation))
    bad_values = np.linspace(0.9, 1.0, n_canary)
    if name in GUARDRAIL_METRICS:
        accumulator.record_affected_users(name, n_canary, n_canary, allocation)
    elif name == "sample_ratio_mismatch":
        accumulator.record_entering_users(n_canary, n_canary, allocation)
    elif name == "quality":
        accumulator.record_outcomes(-bad_values, np.linspace(0.2, 0.4, n_stable), allocation)
    else:
        accumulator.record_list_metric(name, bad_values, np.zeros(n_stable), allocation)


def count_users_until_last_step_alarm(policy: PromotionPolicy, name: str) -> int | None:
    """Return the number of users after which a guardrail metric's alarm goes off in the last step.

    No users are affected before the last step, and all users are affected in it.

    Returns:
        Number of users, or None if the alarm does not go off.
    """
    accumulator = EvidenceAccumulator(policy)
    for _ in range(MIN_MINUTES):
        accumulator.add_minute_to_baseline(MAX_CANARY_USERS // MIN_MINUTES, {})
    for n_users in range(USERS_PER_BATCH, MAX_CANARY_USERS + 1, USERS_PER_BATCH):
        accumulator.compare_minute_with_baseline(USERS_PER_BATCH, {name: USERS_PER_BATCH})
        if accumulator.evidence(CONDITIONS).guardrails[name].is_alarm:
            return n_users
    return None


def _check_failure_logs(stack: StackConfig) -> None:
    """Send requests that fail until each gateway has logged one.

    Raises:
        MarqueeError: the gateways do not respond, or a failure is missing from the log of a gateway.
    """
    logs = {
        gateway.name: FailureLog(gateway.failure_log_path(stack.folder), stack.slow_ms)
        for gateway in stack.gateways
    }
    for failure_log in logs.values():
        for _ in failure_log.poll():  # skip earlier failures
            pass
    for _ in range(MAX_PROBES):
        _send_probe(stack)
        logs = _logs_without_error(logs)
        if not logs:
            return
    time.sleep(LOG_DELAY_S)
    logs = _logs_without_error(logs)
    if logs:
        raise MarqueeError(
            f"a failed request is missing from the failure log of {', '.join(sorted(logs))}, so errors would "
            f"not raise an alarm; see {stack.folder / 'logs'}"
        )


def _send_probe(stack: StackConfig) -> None:
    """Send a request that a gateway answers with an error."""
    api_key = (stack.folder / API_KEY_FILE).read_text(encoding="utf-8")
    connection = http.client.HTTPConnection(stack.local_address, stack.port, timeout=PROBE_TIMEOUT_S)
    try:
        connection.request("GET", PROBE_PATH, headers={"x-api-key": api_key})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise MarqueeError(f"the gateways do not respond ({error}); run `marquee status`") from None
    finally:
        connection.close()


def _logs_without_error(logs: Mapping[str, FailureLog]) -> dict[str, FailureLog]:
    """Poll the failure logs; return those to which no error was added since the last poll, by gateway."""
    return {
        name: failure_log
        for name, failure_log in logs.items()
        if not any(failure.kind == "errors" for failure in failure_log.poll())
    }


def _label(name: str) -> str:
    return name.replace("_", " ")
