"""The analysis of one step of a rollout on a cluster: a Job that ends when it knows.

    python -m service.analysis --policy FILE --events FOLDER --step N [--arm NAME]

Exit codes (`ExitCode`); docs/cluster.md says what a cluster makes of them:

    0    go on: the evidence allows the next step
    86   roll back: the evidence, or the policy's deadline, asks for it
    2    hold: an argument, the policy or the model cannot be used
    70   hold: an internal error; its traceback is on standard error
    else hold: the process died before it could say anything (Python itself exits with 1, a kill gives 137)

It reads the events of all replicas from now on and decides as `marquee canary` does, by the same functions.
What splits the traffic there draws each request anew and not each user, so of each user the first list alone
counts. Each step is judged by its own events, at its share of the levels, for a Job remembers nothing. Failed
requests leave no event: the platform watches those. The popularity of items is that of the image's own model.
"""

import argparse
import json
import math
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from marquee.errors import ConfigError, MarqueeError
from marquee.events import Exposure, Feedback
from marquee.finite import finite_only
from marquee.model.fitted_model import load_model
from marquee.rollout.cohort import ARMS, Cohort, Failure, Objective
from marquee.rollout.decision import Action, Decision, ReasonCode
from marquee.rollout.evidence import Circumstances, Comparison
from marquee.rollout.policy import Policy, Trouble, decide
from service.settings import Settings
from service.telemetry import Follower, readable

LOOK_S = 1.0
STABLE, CANARY = ARMS


class ExitCode(IntEnum):
    """Exit codes of the Job. Only `ROLL_BACK` ends a rollout, so it is one that nothing else exits with.

    Python exits with 1 after an uncaught exception, argparse with 2 on a wrong argument, a shell with 126 or
    127 where it finds no program; 128 and above are signals. The manifests in deploy/kubernetes name it too.
    """

    GO_ON = 0
    INVALID_INPUT = 2
    INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
    ROLL_BACK = 86


# By the decision's action; one that is not listed is an internal error, and so holds.
EXIT_CODES: Mapping[str, ExitCode] = {
    Action.ADVANCE: ExitCode.GO_ON,
    Action.PROMOTE: ExitCode.GO_ON,
    Action.ROLL_BACK: ExitCode.ROLL_BACK,
}


@dataclass(frozen=True)
class Told:
    """What the policy's file says."""

    policy: Policy
    objective: Objective
    window_seconds: float
    slow_ms: float
    max_outcome: float


def read_policy(path: Path) -> Told:
    """The policy, with each level shared among the steps.

    Raises:
        ConfigError: the file is missing, no JSON, or lacks or adds a field.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        own = {name: tree.pop(name) for name in ("objective", "window_seconds", "slow_ms", "max_outcome")}
        missing = {field.name for field in fields(Policy)} ^ set(tree)
        if missing:
            raise ConfigError(f"{path} lacks or adds {', '.join(sorted(missing))}")
        own_types = {"steps": tuple(tree["steps"]), "at_deadline": Action(tree["at_deadline"])}
        policy = Policy(**tree | own_types)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is no policy: {error!r}") from None
    shared = replace(
        policy,
        alpha=policy.alpha / len(policy.steps),
        guardrail_alpha=policy.guardrail_alpha / len(policy.steps),
    )
    most = math.inf if own["max_outcome"] is None else float(own["max_outcome"])
    return Told(shared, own["objective"], float(own["window_seconds"]), float(own["slow_ms"]), most)


class Analysis:
    """One step, from the moment at which it is made."""

    def __init__(
        self,
        told: Told,
        events: Path,
        step: int,
        began: float,
        *,
        arm: str = CANARY,
        popularity: Mapping[str, float] | None = None,
    ) -> None:
        if not 0 <= step < len(told.policy.steps):
            raise ConfigError(f"--step {step}: the policy has {len(told.policy.steps)}, numbered from 0")
        if told.policy.steps[step] == 1:
            raise ConfigError(f"--step {step}: everybody has the canary there, and nobody to compare with")
        self._told, self._step, self._began, self._arm = told, step, began, arm
        self._comparison = Comparison(told.policy)
        self._cohort = Cohort(
            self._comparison,
            told.objective,
            told.window_seconds,
            told.max_outcome,
            popularity,
            sticky=False,
        )
        self._cohort.weigh(began, told.policy.steps[step])
        self._cohort.steer(began)
        self._events = [Follower(events, kind, began) for kind in ("exposure", "feedback")]

    def look(self, now: float) -> Decision:
        """Read what is new, and decide."""
        troubles: list[str] = []
        events = [event for each in self._events for event in readable(each.poll(), troubles)]
        shown = [
            replace(event, arm=CANARY if event.arm == self._arm else STABLE)
            for event in events
            if isinstance(event, Exposure)
        ]
        done = [event for event in events if isinstance(event, Feedback)]
        slow = [
            Failure(event.time, event.arm, event.user or "", "slow")
            for event in shown
            if event.latency_us >= 1000 * self._told.slow_ms
        ]
        self._cohort.take(shown, done, slow, now)
        ages = self._cohort.ages(now)
        passed = now - self._began
        failed = [Trouble.metric_failed(trouble) for trouble in troubles]
        circumstances = Circumstances(self._step, passed, passed, ages, troubles=failed)
        return decide(self._comparison.evidence(circumstances), self._told.policy)


def run(arguments: Mapping[str, Any]) -> ExitCode:
    """Look until it is known; the exit code."""
    told = read_policy(arguments["policy"])
    popularity = load_model(Settings.from_environment().model).popularity()
    began = time.time()
    analysis = Analysis(
        told, arguments["events"], arguments["step"], began, arm=arguments["arm"], popularity=popularity
    )
    printed: ReasonCode | None = None
    while True:
        decision = analysis.look(time.time())
        if decision.reason != printed:
            printed = decision.reason
            report = asdict(decision) | {"evidence": finite_only(decision.evidence)}
            sys.stdout.write(json.dumps(report) + "\n")
            sys.stdout.flush()
        if decision.action != Action.HOLD:
            return EXIT_CODES[decision.action]
        time.sleep(LOOK_S)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="python -m service.analysis", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--policy", type=Path, required=True, help="JSON file")
    parser.add_argument("--events", type=Path, required=True, help="folder that all replicas write to")
    parser.add_argument("--step", type=int, required=True, help="number of the step, from 0")
    parser.add_argument("--arm", default=CANARY, help="name of the new arm; all others are stable")
    arguments = vars(parser.parse_args())
    try:
        code = run(arguments)
    except MarqueeError as error:
        sys.stderr.write(f"analysis: {error}\n")
        code = ExitCode.INVALID_INPUT
    except Exception:  # a defect says nothing about the canary
        traceback.print_exc()
        code = ExitCode.INTERNAL_ERROR
    sys.exit(code)


if __name__ == "__main__":
    main()
