"""Simulated rollouts: how often a promotion is wrong, how soon it is right, how soon an alarm goes off.

    python -m benchmarks.canary [--quick] [--only NAME] [--json FILE]

Users, tastes and clicks come from `marquee.synthetic`; the comparison and the decision are those of the
controller, by the parameters of params.yaml, looked at after every batch. The peer is a z-test for a sample
of fixed size on the same events, looked at as often. `power` draws docs/figures/canary.png. `sound` and
`alarms` go through the controller's cohort too, request by request.
"""

import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from scipy.stats import beta

from benchmarks.canary.alarms import FAULTS, MOMENTS, SOUND, Fault, called_broken, seconds_until_off
from benchmarks.canary.figure import Effect, draw
from benchmarks.canary.rollouts import Ended, policy, simulate
from benchmarks.canary.world import click_rate
from benchmarks.search import Row, run
from marquee.rollout.decision import ReasonCode
from marquee.rollout.state import Outcome

ROLLOUTS, POWER_ROLLOUTS, RUNS, SOUNDS = 2000, 200, 200, 40
BATCH = 300  # users between two looks
STABLE = 0.5  # error of the champion, in stars
WORSE = 0.55
GRID = (0.2, 0.35, 0.42, 0.46, 0.48, 0.49, 0.5, 0.51, 0.52, 0.54, 0.58, 0.65, 0.8)
WORKERS, FEW = 2, 4
MINUTE_S = 60.0
SHOWN = 0.1  # share of rollouts that must be decided for a median to mean something
FIGURE = Path("docs/figures/canary.png")


def rollouts(number: int, canary: float, seed: int) -> list[Ended]:
    """Independent ones, side by side."""
    one = partial(simulate, STABLE, canary, BATCH)
    with ProcessPoolExecutor(WORKERS) as pool:
        return list(pool.map(one, range(seed, seed + number), chunksize=10))


def identical_rows(share: float) -> Iterable[Row]:
    """Two arms with one model: nothing should be promoted or rolled back for its quality."""
    number = round(ROLLOUTS * share)
    ended = rollouts(number, STABLE, 1)
    for_quality = sum(each.reason == ReasonCode.QUALITY_WORSE for each in ended)
    wrong = sum(each.outcome == Outcome.PROMOTED for each in ended) + for_quality
    fooled = sum(each.z_test for each in ended) / number
    what = "identical arms promoted or rejected for quality; a z-test on the same events"
    times = fooled / max(wrong / number, 1 / number)
    yield Row(what, wrong / number, fooled, times, "share", number, bounded(wrong, number, policy().alpha))
    alarms = sum(each.outcome == Outcome.ROLLED_BACK for each in ended) - for_quality
    note = bounded(alarms, number, policy().guardrail_alpha)
    yield Row("identical arms rolled back by an alarm", alarms / number, None, None, "share", number, note)


def sound_rows(share: float) -> Iterable[Row]:
    """Challengers that are no fault of anybody's, for an hour, their users coming again and again."""
    number = max(round(SOUNDS * share), FEW)
    for fault, weight in SOUND:
        with ProcessPoolExecutor(WORKERS) as pool:
            broken = sum(pool.map(partial(called_broken, fault, weight), range(number)))
        note = bounded(broken, number, policy().guardrail_alpha)
        what = f"{fault.name}, {weight:.0%} of users: rolled back by an alarm"
        yield Row(what, broken / number, None, None, "share", number, note)


def worse_rows(share: float) -> Iterable[Row]:
    """A challenger that is truly a little worse."""
    number = round(ROLLOUTS * share)
    wrong = sum(each.outcome == Outcome.PROMOTED for each in rollouts(number, WORSE, 10_000_000))
    what = f"a worse challenger ({click_rate(WORSE) - click_rate(STABLE):+.2%} of lists clicked) promoted"
    note = bounded(wrong, number, policy().alpha)
    yield Row(what, wrong / number, None, None, "share", number, note)


def bounded(wrong: int, number: int, alpha: float) -> str:
    """A share, its upper bound, and whether it keeps its level."""
    kept = mark(wrong / number <= alpha)
    return (
        f"{wrong} of {number}; at most {upper(wrong, number):.4f} with 95% confidence; level {alpha} {kept}"
    )


def power_rows(share: float) -> Iterable[Row]:
    """A grid of challengers; and the figure."""
    number, base, effects = round(POWER_ROLLOUTS * share), click_rate(STABLE), []
    for place, error in enumerate(GRID):
        ended = rollouts(number, error, 20_000_000 + 100_000 * place)
        decided = [each.batches * BATCH for each in ended if each.outcome is not None]
        promoted = sum(each.outcome == Outcome.PROMOTED for each in ended) / number
        back = sum(each.outcome == Outcome.ROLLED_BACK for each in ended) / number
        users = float(np.median(decided)) if len(decided) > SHOWN * number else 0.0
        effects.append(Effect(click_rate(error) - base, promoted, back, users))
        note = f"rolled back {back:.0%}, {users:,.0f} users until decided (median)"
        yield Row(
            f"{effects[-1].difference:+.2%} of lists clicked: promoted",
            promoted,
            None,
            None,
            "share",
            number,
            note,
        )
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    draw(effects, base, policy().alpha).savefig(FIGURE, dpi=120)


def alarm_rows(share: float) -> Iterable[Row]:
    """Challengers that break at some moment, at a tenth and at a hundredth of the users."""
    for breaks_s, part in MOMENTS:
        for fault in FAULTS:
            for weight, times in ((0.1, 1), (0.01, 10)):
                yield alarm_row(fault, weight, times, breaks_s, max(round(RUNS * share * part), FEW))


def alarm_row(fault: Fault, weight: float, times: int, breaks_s: float, number: int) -> Row:
    """One of them."""
    with ProcessPoolExecutor(WORKERS) as pool:
        found = list(pool.map(partial(seconds_until_off, fault, weight, breaks_s), range(number)))
    middle, late = float(np.median(found)), float(np.quantile(found, 0.95, method="higher"))
    target = fault.target_s * times
    early = sum(each == 0 for each in found)
    note = f"target {target:g} s {mark(middle <= target)}; p95 {late:.1f} s, false alarms before {early}"
    when = f"{breaks_s:g} s" if breaks_s < MINUTE_S else f"{breaks_s / MINUTE_S:g} min"
    return Row(
        f"{fault.name} after {when}, {weight:.0%} of 200 requests/s: until off the air",
        middle,
        None,
        None,
        "s",
        number,
        note,
    )


def upper(wrong: int, number: int) -> float:
    """Clopper-Pearson's upper bound of a share, of 95%, one-sided."""
    return 1.0 if wrong == number else float(beta.ppf(0.95, wrong + 1, number - wrong))


def mark(reached: bool) -> str:
    """Of a target."""
    return "✓" if reached else "✗"


PARTS = {
    "identical": identical_rows,
    "sound": sound_rows,
    "worse": worse_rows,
    "power": power_rows,
    "alarms": alarm_rows,
}

if __name__ == "__main__":
    sys.exit(run("python -m benchmarks.canary", __doc__, PARTS))
