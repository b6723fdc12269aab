"""Benchmark of rollouts by simulation: error rates, power, and the time to detect broken challengers.

    python -m benchmarks.canary [--quick] [--only NAME] [--json FILE]

    identical   identical arms: how often they are promoted or rolled back
    healthy     challengers that look broken but are not: how often they are rolled back
    worse       a slightly worse challenger: how often it is promoted
    power       better and worse challengers: outcomes and time to decision; draws docs/figures/canary.png
    alarms      broken challengers: seconds until the rollback

Users and their preferences come from `marquee.synthetic`. Tests and policy are those of the controller with
the parameters of params.yaml, evaluated after every batch of users. The peer is a z-test for a fixed sample
size on the same events, evaluated equally often. `healthy` and `alarms` simulate single requests, which also
pass through the collector of the controller.
"""

import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import beta

from benchmarks.canary.detection import (
    ALLOCATIONS,
    FAILURE_TIMES_S,
    FAULTS,
    HEALTHY,
    Behavior,
    raises_alarm,
    simulate_seconds_until_rollback,
)
from benchmarks.canary.power_figure import PowerPoint, draw_power
from benchmarks.canary.simulated_users import estimate_mean_click_through
from benchmarks.canary.simulation import SimulatedRollout, make_simulation_policy, simulate_rollout
from benchmarks.command_line import run_benchmark
from benchmarks.result_rows import ResultRow, format_check_mark
from marquee.rollout.decision_types import ReasonCode
from marquee.rollout.state import RolloutOutcome

N_ROLLOUTS, N_POWER_ROLLOUTS, N_DETECTIONS, N_HEALTHY, MIN_RUNS = 2000, 200, 200, 40, 4
BATCH_SIZE = 300  # users between two evaluations
CHAMPION_ERROR, WORSE_ERROR = 0.5, 0.55  # errors of the models, in stars
POWER_ERRORS = (0.2, 0.35, 0.42, 0.46, 0.48, 0.49, 0.5, 0.51, 0.52, 0.54, 0.58, 0.65, 0.8)
IDENTICAL_SEED, WORSE_SEED, POWER_SEED = 1, 10_000_000, 20_000_000
SEEDS_PER_ERROR = 100_000
N_PROCESSES = 2
MINUTE_S = 60.0
MIN_DECIDED = 0.1  # share of rollouts that must be decided before a median is reported
FIGURE = Path("docs/figures/canary.png")


def simulate_rollouts(n_rollouts: int, challenger_error: float, first_seed: int) -> list[SimulatedRollout]:
    """Simulate independent rollouts in parallel."""
    simulate = partial(simulate_rollout, CHAMPION_ERROR, challenger_error, BATCH_SIZE)
    with ProcessPoolExecutor(N_PROCESSES) as pool:
        return list(pool.map(simulate, range(first_seed, first_seed + n_rollouts), chunksize=10))


def measure_identical_arms(share: float) -> Iterable[ResultRow]:
    """Measure how often identical arms are decided falsely, on quality and by alarms."""
    n_rollouts, policy = round(N_ROLLOUTS * share), make_simulation_policy()
    rollouts = simulate_rollouts(n_rollouts, CHAMPION_ERROR, IDENTICAL_SEED)
    n_worse = sum(rollout.reason == ReasonCode.QUALITY_WORSE for rollout in rollouts)
    n_wrong = count_rollouts(rollouts, RolloutOutcome.PROMOTED) + n_worse
    z_test = sum(rollout.z_test_rejected for rollout in rollouts) / n_rollouts
    yield ResultRow(
        "identical arms promoted or rolled back for their quality; z-test on the same events",
        n_wrong / n_rollouts,
        "share",
        n_rollouts,
        describe_error_rate(n_wrong, n_rollouts, policy.alpha),
        peer=z_test,
        ratio=z_test / max(n_wrong / n_rollouts, 1 / n_rollouts),
    )
    n_alarms = count_rollouts(rollouts, RolloutOutcome.ROLLED_BACK) - n_worse
    title = "identical arms rolled back by an alarm"
    yield make_error_rate_row(title, n_alarms, n_rollouts, policy.guardrail_alpha)


def measure_healthy_challengers(share: float) -> Iterable[ResultRow]:
    """Measure the false alarms for healthy challengers within an hour in which users return repeatedly."""
    n_runs = max(round(N_HEALTHY * share), MIN_RUNS)
    for behavior, allocation in HEALTHY:
        with ProcessPoolExecutor(N_PROCESSES) as pool:
            n_alarms = sum(pool.map(partial(raises_alarm, behavior, allocation), range(n_runs)))
        title = f"{behavior.name}, {allocation:.0%} of users: rolled back by an alarm"
        yield make_error_rate_row(title, n_alarms, n_runs, make_simulation_policy().guardrail_alpha)


def measure_worse_challenger(share: float) -> Iterable[ResultRow]:
    """Measure how often a slightly worse challenger is promoted."""
    n_rollouts = round(N_ROLLOUTS * share)
    n_wrong = count_rollouts(simulate_rollouts(n_rollouts, WORSE_ERROR, WORSE_SEED), RolloutOutcome.PROMOTED)
    difference = estimate_mean_click_through(WORSE_ERROR) - estimate_mean_click_through(CHAMPION_ERROR)
    title = f"a worse challenger ({difference:+.2%} of lists clicked) promoted"
    yield make_error_rate_row(title, n_wrong, n_rollouts, make_simulation_policy().alpha)


def measure_power(share: float) -> Iterable[ResultRow]:
    """Measure the outcomes of challengers with different model errors, and draw the figure."""
    n_rollouts, champion_rate = round(N_POWER_ROLLOUTS * share), estimate_mean_click_through(CHAMPION_ERROR)
    points = []
    for number, error in enumerate(POWER_ERRORS):
        rollouts = simulate_rollouts(n_rollouts, error, POWER_SEED + SEEDS_PER_ERROR * number)
        point = summarize_power(rollouts, estimate_mean_click_through(error) - champion_rate)
        points.append(point)
        note = f"rolled back {point.rolled_back:.0%}"
        if point.median_users is not None:
            note += f", {point.median_users:,.0f} users until decision (median)"
        title = f"{point.difference:+.2%} of lists clicked: promoted"
        yield ResultRow(title, point.promoted, "share", n_rollouts, note)
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    draw_power(points, champion_rate, make_simulation_policy().alpha).savefig(FIGURE, dpi=120)


def summarize_power(rollouts: list[SimulatedRollout], difference: float) -> PowerPoint:
    """Summarize the simulated rollouts of one challenger."""
    users = [rollout.n_batches * BATCH_SIZE for rollout in rollouts if rollout.outcome is not None]
    return PowerPoint(
        difference,
        count_rollouts(rollouts, RolloutOutcome.PROMOTED) / len(rollouts),
        count_rollouts(rollouts, RolloutOutcome.ROLLED_BACK) / len(rollouts),
        float(np.median(users)) if len(users) > MIN_DECIDED * len(rollouts) else None,
    )


def measure_detection_times(share: float) -> Iterable[ResultRow]:
    """Measure the time to detect faults that begin early and late, at two allocations."""
    for failure_s, share_of_runs in FAILURE_TIMES_S:
        n_runs = max(round(N_DETECTIONS * share * share_of_runs), MIN_RUNS)
        for fault in FAULTS:
            for allocation, target_factor in ALLOCATIONS:
                yield measure_detection_time(
                    fault, allocation, fault.target_s * target_factor, failure_s, n_runs
                )


def measure_detection_time(
    fault: Behavior, allocation: float, target_s: float, failure_s: float, n_runs: int
) -> ResultRow:
    """Measure the time to detect one fault at one allocation."""
    simulate = partial(simulate_seconds_until_rollback, fault, allocation, failure_s)
    with ProcessPoolExecutor(N_PROCESSES) as pool:
        seconds = list(pool.map(simulate, range(n_runs)))
    median, p95 = float(np.median(seconds)), float(np.quantile(seconds, 0.95, method="higher"))
    n_early = sum(each == 0 for each in seconds)
    target = f"target {target_s:g} s {format_check_mark(median <= target_s)}"
    note = f"{target}; p95 {p95:.1f} s, false alarms before the failure: {n_early}"
    start = f"{failure_s:g} s" if failure_s < MINUTE_S else f"{failure_s / MINUTE_S:g} min"
    title = f"{fault.name} after {start}, {allocation:.0%} of 200 requests/s: until rolled back"
    return ResultRow(title, median, "s", n_runs, note)


def count_rollouts(rollouts: list[SimulatedRollout], outcome: RolloutOutcome) -> int:
    """Return the number of rollouts with an outcome."""
    return sum(rollout.outcome == outcome for rollout in rollouts)


def make_error_rate_row(title: str, n_errors: int, n_runs: int, alpha: float) -> ResultRow:
    """Return the share of runs with an error, compared with the level `alpha`."""
    note = describe_error_rate(n_errors, n_runs, alpha)
    return ResultRow(title, n_errors / n_runs, "share", n_runs, note)


def describe_error_rate(n_errors: int, n_runs: int, alpha: float) -> str:
    """Return the counts, the upper bound of the error rate, and the check mark of the level `alpha`."""
    bound = upper_confidence_bound(n_errors, n_runs)
    level = f"level {alpha} {format_check_mark(n_errors / n_runs <= alpha)}"
    return f"{n_errors} of {n_runs}; at most {bound:.4f} with 95% confidence; {level}"


def upper_confidence_bound(n_errors: int, n_runs: int) -> float:
    """Return the one-sided upper 95% confidence bound of an error rate (Clopper and Pearson 1934)."""
    return 1.0 if n_errors == n_runs else float(beta.ppf(0.95, n_errors + 1, n_runs - n_errors))


PARTS = {
    "identical": measure_identical_arms,
    "healthy": measure_healthy_challengers,
    "worse": measure_worse_challenger,
    "power": measure_power,
    "alarms": measure_detection_times,
}

if __name__ == "__main__":
    sys.exit(run_benchmark("python -m benchmarks.canary", __doc__, PARTS))
