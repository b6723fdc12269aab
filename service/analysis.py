"""The analysis of one step of a rollout on a cluster: a Job that ends when it knows.

    python -m service.analysis --policy FILE --events FOLDER --step N [--arm NAME]

It exits with 0 to go on, 1 to roll back, 2 where its input is wrong. It reads the events of all replicas from
now on and decides as `marquee canary` does, by the same functions. What splits the traffic there draws each
request anew and not each user, so of each user the first list alone counts; and each step is judged by its
own events, at its share of the levels, for a Job remembers nothing. Requests that failed leave no event: the
platform watches those. What is popular is told by the model of the image that it runs in.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from marquee.cohort import ARMS, Cohort, Failure, Objective
from marquee.comparison import Circumstances, Comparison
from marquee.errors import ConfigError, MarqueeError
from marquee.events import Exposure, Feedback
from marquee.finite import finite_only
from marquee.model import load_model
from marquee.promotion import Decision, Policy, decide
from service.settings import Settings
from service.telemetry import Follower, readable

LOOK_S = 1.0
STABLE, CANARY = ARMS


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
        policy = Policy(**tree | {"steps": tuple(tree["steps"])})
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
        circumstances = Circumstances(self._step, passed, passed, ages, troubles=troubles)
        return decide(self._comparison.evidence(circumstances), self._told.policy)


def run(arguments: Mapping[str, Any]) -> int:
    """Look until it is known; the exit code."""
    told = read_policy(arguments["policy"])
    popularity = load_model(Settings.from_environment().model).popularity()
    began = time.time()
    analysis = Analysis(
        told, arguments["events"], arguments["step"], began, arm=arguments["arm"], popularity=popularity
    )
    said = ""
    while True:
        decision = analysis.look(time.time())
        if decision.reason != said:
            said = decision.reason
            told_so = asdict(decision) | {"figures": finite_only(decision.figures)}
            sys.stdout.write(json.dumps(told_so) + "\n")
            sys.stdout.flush()
        if decision.action != "hold":
            return int(decision.action == "roll back")
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
    try:
        sys.exit(run(vars(parser.parse_args())))
    except MarqueeError as error:
        sys.stderr.write(f"analysis: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
