"""Analysis of one step of a rollout on a cluster: a Job that exits when the evidence allows a decision.

    python -m service.kubernetes_analysis_job --policy FILE --events FOLDER --step N [--arm NAME]

It reads the events that the replicas write after its start, and decides with the same functions as `marquee
canary`. The differences:

- Each request is assigned to an arm, not each user, so only the first list of a user counts.
- A Job has no memory of earlier steps, so each step rests on its own events and its share of the error rates.
- Failed requests leave no event; the platform has to monitor them.
- Item popularity is taken from the model in the Job's image.

Exit codes (`ExitCode`; docs/cluster.md describes how a cluster reacts to them):

    0      continue: the evidence allows the next step
    86     roll back, because of the evidence or the policy's deadline
    2      hold: an argument, the policy or the model is invalid
    70     hold: internal error; its traceback is on standard error
    other  hold: the process died (Python itself exits with 1, a kill gives 137)
"""

import argparse
import json
import math
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from marquee.errors import ConfigError, MarqueeError
from marquee.events import Exposure, Feedback
from marquee.finite_values import drop_non_finite
from marquee.model.fitted_model import load_model
from marquee.rollout.accumulator import EvidenceAccumulator
from marquee.rollout.arms import CANARY, STABLE
from marquee.rollout.decision_types import Action, Decision, ReasonCode
from marquee.rollout.evidence import EvidenceGap, RolloutConditions
from marquee.rollout.observation_collector import Failure, Objective, ObservationCollector
from marquee.rollout.policy import PromotionPolicy, decide
from service.settings import Settings
from service.telemetry import EventTail, yield_until_os_error

POLL_INTERVAL_S = 1.0


class ExitCode(IntEnum):
    """Exit codes of the Job. Only `ROLL_BACK` ends a rollout, so no other exit may have its code.

    Python exits with 1 after an uncaught exception, argparse with 2 on an invalid argument, a shell with 126
    or 127 if it cannot run a program; 128 and above are signals. The manifests in deploy/kubernetes repeat
    the value of `ROLL_BACK`.
    """

    PROCEED = 0
    INVALID_INPUT = 2
    INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
    ROLL_BACK = 86


# By action of the decision. If the action is missing here, the Job fails with `INTERNAL_ERROR`.
EXIT_CODES: Mapping[Action, ExitCode] = {
    Action.ADVANCE: ExitCode.PROCEED,
    Action.PROMOTE: ExitCode.PROCEED,
    Action.ROLL_BACK: ExitCode.ROLL_BACK,
}


@dataclass(frozen=True)
class AnalysisPolicy:
    """Content of the policy file."""

    policy: PromotionPolicy  # its error rates apply to one step
    objective: Objective
    attribution_window_seconds: float
    slow_ms: float  # duration from which a response counts as slow
    outcome_cap: float  # largest outcome counted per user; infinite without a cap


ANALYSIS_FIELDS = tuple(field.name for field in fields(AnalysisPolicy) if field.name != "policy")
POLICY_FIELDS = tuple(field.name for field in fields(PromotionPolicy))


def read_analysis_policy(path: Path) -> AnalysisPolicy:
    """Read a policy file, and divide its error rates equally among the steps.

    Raises:
        ConfigError: the file cannot be read, is not a policy in JSON, or has missing or unknown fields.
    """
    try:
        return _parse_policy(path, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"cannot read the policy {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} is not a valid policy: {error!r}") from None


def _parse_policy(path: Path, tree: dict[str, Any]) -> AnalysisPolicy:
    wrong_fields = set(tree) ^ {*ANALYSIS_FIELDS, *POLICY_FIELDS}
    if wrong_fields:
        raise ConfigError(f"{path} has missing or unknown fields: {', '.join(sorted(wrong_fields))}")
    policy = PromotionPolicy(
        **{name: tree[name] for name in POLICY_FIELDS}
        | {"steps": tuple(tree["steps"]), "at_deadline": Action(tree["at_deadline"])}
    )
    n_steps = len(policy.steps)
    return AnalysisPolicy(
        replace(policy, alpha=policy.alpha / n_steps, guardrail_alpha=policy.guardrail_alpha / n_steps),
        objective=tree["objective"],
        attribution_window_seconds=float(tree["attribution_window_seconds"]),
        slow_ms=float(tree["slow_ms"]),
        outcome_cap=math.inf if tree["outcome_cap"] is None else float(tree["outcome_cap"]),
    )


class StepAnalysis:
    """Analysis of one rollout step: collects its events and decides how the rollout continues."""

    def __init__(
        self,
        policy: AnalysisPolicy,
        events: Path,
        step: int,
        started_at: float,
        *,
        arm: str = CANARY,
        popularity: Mapping[str, float] | None = None,
    ) -> None:
        """Create an analysis that has not read any events.

        Args:
            policy: content of the policy file.
            events: folder that all replicas write to.
            step: index of the step, counted from 0.
            started_at: start of the step in UTC seconds; earlier events are ignored.
            arm: name of the canary in the events; all other names count as stable.
            popularity: share of each item in all ratings; None if unknown.

        Raises:
            ConfigError: the policy has no such step, or the step assigns all users to the canary.
        """
        n_steps = len(policy.policy.steps)
        if not 0 <= step < n_steps:
            raise ConfigError(f"--step must be between 0 and {n_steps - 1} (got {step})")
        if policy.policy.steps[step] == 1:
            raise ConfigError(
                f"--step {step} cannot be analyzed: its allocation is 1, so no stable arm is left"
            )
        self._policy, self._step, self._started_at, self._arm = policy, step, started_at, arm
        self._accumulator = EvidenceAccumulator(policy.policy)
        self._cohort = ObservationCollector(
            self._accumulator,
            policy.objective,
            policy.attribution_window_seconds,
            policy.outcome_cap,
            popularity,
            sticky=False,
        )
        self._cohort.start_step(started_at, policy.policy.steps[step])
        self._cohort.confirm_allocation(started_at)
        self._event_tails = [EventTail(events, kind, started_at) for kind in ("exposure", "feedback")]

    def process_events_and_decide(self, now: float) -> Decision:
        """Read new events and return the decision.

        Args:
            now: UTC seconds.
        """
        errors = self._process_new_events(now)
        elapsed = now - self._started_at
        conditions = RolloutConditions(
            self._step,
            step_seconds=elapsed,
            rollout_seconds=elapsed,  # the Job does not know earlier steps
            data_age_seconds=self._cohort.seconds_since_last_response(now),
            gaps=[EvidenceGap.for_failed_metric(error) for error in errors],
        )
        return decide(self._accumulator.evidence(conditions), self._policy.policy)

    def _process_new_events(self, now: float) -> Sequence[str]:
        """Pass new events to the collector; return the errors of event files that cannot be read."""
        errors: list[str] = []
        events = [event for tail in self._event_tails for event in yield_until_os_error(tail.poll(), errors)]
        exposures = [self._normalize_arm(event) for event in events if isinstance(event, Exposure)]
        feedback = [event for event in events if isinstance(event, Feedback)]
        slow_responses = [
            Failure(exposure.time, exposure.arm, exposure.user or "", "slow")
            for exposure in exposures
            if exposure.latency_us >= 1000 * self._policy.slow_ms
        ]
        self._cohort.process_events(exposures, feedback, slow_responses, now)
        return errors

    def _normalize_arm(self, exposure: Exposure) -> Exposure:
        """Return the exposure with `canary` or `stable` in place of the platform's name of its arm."""
        return replace(exposure, arm=CANARY if exposure.arm == self._arm else STABLE)


def run_step_analysis(arguments: argparse.Namespace) -> ExitCode:
    """Evaluate a step until the decision is to advance, promote or roll back, and return the exit code.

    A decision is printed as JSON whenever its reason differs from that of the previous decision.

    Raises:
        MarqueeError: an argument, the policy or the model is invalid.
    """
    policy = read_analysis_policy(arguments.policy)
    popularity = load_model(Settings.from_environment().model).popularity_shares()
    analysis = StepAnalysis(
        policy, arguments.events, arguments.step, time.time(), arm=arguments.arm, popularity=popularity
    )
    printed_reason: ReasonCode | None = None
    while True:
        decision = analysis.process_events_and_decide(time.time())
        if decision.reason != printed_reason:
            printed_reason = decision.reason
            _print_decision(decision)
        if decision.action != Action.HOLD:
            return EXIT_CODES[decision.action]
        time.sleep(POLL_INTERVAL_S)


def _print_decision(decision: Decision) -> None:
    report = asdict(decision) | {"evidence": drop_non_finite(decision.evidence)}
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m service.kubernetes_analysis_job",
        description=(__doc__ or "").split("\n", maxsplit=1)[0],
    )
    parser.add_argument("--policy", type=Path, required=True, help="JSON file of the policy")
    parser.add_argument("--events", type=Path, required=True, help="folder that all replicas write to")
    parser.add_argument("--step", type=int, required=True, help="index of the step, counted from 0")
    parser.add_argument(
        "--arm", default=CANARY, help="name of the canary in the events; all other names count as stable"
    )
    return parser.parse_args()


def main() -> None:
    """Run the Job and exit with its code."""
    arguments = _parse_arguments()
    try:
        code = run_step_analysis(arguments)
    except MarqueeError as error:
        sys.stderr.write(f"analysis: {error}\n")
        code = ExitCode.INVALID_INPUT
    except Exception:  # a bug in the analysis says nothing about the canary
        traceback.print_exc()
        code = ExitCode.INTERNAL_ERROR
    sys.exit(code)


if __name__ == "__main__":
    main()
