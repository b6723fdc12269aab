"""Before a rollout begins: proof that its alarms can go off.

Each alarm is given what it is there for, by the same code and the same parameters; and a request that fails
on purpose goes through each gateway, to be found in what it writes down.
"""

import http.client
import time
from collections.abc import Iterator

import numpy as np

from experiments.config.online import Canary
from marquee.errors import MarqueeError
from marquee.rollout.baseline_rate import FEWEST
from marquee.rollout.decision import Action
from marquee.rollout.evidence import Circumstances, Comparison
from marquee.rollout.policy import DRIFTS, INCIDENTS, Policy, decide
from pipelines.rollout.policy_config import policy_of
from service.gateway.config import KEY_FILE, PROBE
from service.gateway.failure_log import FailureFile
from service.stack.stack_config import Stack

USERS = 10_000  # of the canary, to show an alarm to
BATCH = 10
PROBES = 200  # requests, until every gateway has had one
SEEN_S = 3.0
NOTHING = Circumstances(0, 0.0, 0.0, {"stable": 0.0, "canary": 0.0})


def rehearse(stack: Stack, canary: Canary) -> Iterator[str]:
    """A line for each proof.

    Raises:
        MarqueeError: an alarm does not go off, or a failure is not seen.
    """
    policy = policy_of(canary)
    for name in (*INCIDENTS, *DRIFTS, "mismatch", "quality"):
        users = users_until_alarm(policy, name)
        if users is None:
            raise MarqueeError(
                f"the alarm '{name}' does not go off within {USERS} users of the canary, whatever happens: "
                f"see canary.tolerance and canary.guardrail_alpha"
            )
        yield f"{name.replace('_', ' ')}: rolls back after {users} users of a broken canary"
    for name in INCIDENTS:
        users = users_until_surge(policy, name)
        if users is None:
            raise MarqueeError(
                f"'{name}' is no alarm at the last step, whatever happens: see canary.tolerance"
            )
        yield f"{name.replace('_', ' ')}, at the last step: rolls back after {users} users"
    _probe(stack)
    yield f"a failure is seen at all {len(stack.gateways)} gateways"


def users_until_alarm(policy: Policy, name: str) -> int | None:
    """How many users of a canary that is as broken as can be it takes; None where no number does."""
    comparison = Comparison(policy)
    weight = policy.steps[0]
    others = np.linspace(0.2, 0.4, max(1, round(BATCH * (1 - weight) / weight)))
    mine = np.linspace(0.9, 1.0, BATCH)
    for users in range(BATCH, USERS + 1, BATCH):
        if name in INCIDENTS:
            comparison.incident(name, BATCH, BATCH, weight)
        elif name == "mismatch":
            comparison.users(BATCH, BATCH, weight)
        elif name == "quality":
            comparison.outcomes(-mine, others, weight)
        else:
            comparison.lists(name, mine, others * 0, weight)
        evidence = comparison.evidence(NOTHING)
        if decide(evidence, policy).action == Action.ROLL_BACK:
            return users
        if name in DRIFTS and users > 20 * policy.drift_users:
            return None
    return None


def users_until_surge(policy: Policy, name: str) -> int | None:
    """The same of what breaks when everybody has the canary, where it happened to nobody before."""
    comparison = Comparison(policy)
    for _ in range(FEWEST):
        comparison.apart(USERS // FEWEST, {})
    for users in range(BATCH, USERS + 1, BATCH):
        comparison.together(BATCH, {name: BATCH})
        if comparison.evidence(NOTHING).incidents[name].alarm:
            return users
    return None


def _probe(stack: Stack) -> None:
    """Requests that fail on purpose, until each gateway has written one down."""
    files = {g.name: FailureFile(g.failures(stack.folder), stack.slow_ms) for g in stack.gateways}
    for file in files.values():
        list(file.poll())
    key = (stack.folder / KEY_FILE).read_text(encoding="utf-8")
    missing = set(files)
    for _ in range(PROBES):
        connection = http.client.HTTPConnection(stack.address, stack.port, timeout=2)
        try:
            connection.request("GET", PROBE, headers={"x-api-key": key})
            connection.getresponse().read()
        except (OSError, http.client.HTTPException) as error:
            raise MarqueeError(f"the gateways do not answer ({error}): `marquee status`") from None
        finally:
            connection.close()
        missing -= {name for name in missing if any(f.kind == "errors" for f in files[name].poll())}
        if not missing:
            return
    time.sleep(SEEN_S)
    missing -= {name for name in missing if any(f.kind == "errors" for f in files[name].poll())}
    if missing:
        raise MarqueeError(f"a failure at {', '.join(sorted(missing))} is not seen: nobody would be warned")
