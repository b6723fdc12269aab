"""One step of a rollout, for tests of its analysis: a policy with short durations, and user events."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from marquee.events import Event, Exposure, Feedback, encode

POLICY: dict[str, Any] = {
    "steps": [0.5, 1.0],
    "hypothesis": "superiority",
    "non_inferiority_margin": 0.0,
    "alpha": 0.05,
    "guardrail_alpha": 0.01,
    "max_odds_ratio": {"errors": 1.5, "slow": 2.0, "below_personal": 1.5, "empty": 1.0},
    "max_increase": {"popularity": 1.0, "overlap": 1.0},
    "min_step_seconds": 10,
    "min_step_users": 50,
    "min_quality_users": 50,
    "min_list_users": 50,
    "stale_seconds": 1000,
    "unhealthy_seconds": 60,
    "max_restarts": 0,
    "deadline_seconds": 10000,
    "at_deadline": "roll back",
    "objective": "click_through",
    "attribution_window_seconds": 5,
    "slow_ms": 100,
    "outcome_cap": None,
}
N_ITEMS, LIST_LENGTH = 50, 5
POPULARITY = {f"i{item}": 1 / N_ITEMS for item in range(N_ITEMS)}
STABLE_CLICK_RATE = 0.3
FAST_US, SLOW_US = 500, 200_000


def write_policy(folder: Path, **changes: Any) -> Path:
    """Write `POLICY` with changed fields to a file, and return its path."""
    path = folder / "policy.json"
    path.write_text(json.dumps({**POLICY, **changes}))
    return path


def write_user_events(
    folder: Path, started_at: float, *, click_lift: float, slow_share: float = 0.0, n_users: int = 600
) -> None:
    """Write the events of users who make one to three requests each; every request draws its arm.

    Args:
        folder: folder for the events.
        started_at: start of the step in UTC seconds; the requests follow 2.0 to 3.2 seconds later.
        click_lift: click rate of the canary minus that of stable.
        slow_share: probability that a response of the canary is slow.
        n_users: number of users.
    """
    rng = np.random.default_rng(0)
    exposures: list[Event] = []
    feedback: list[Event] = []
    for user in range(n_users):
        for request in range(rng.integers(1, 4)):
            arm = "canary" if rng.random() < 0.5 else "stable"
            time = started_at + 2 + user / n_users + request / 10
            latency_us = SLOW_US if arm == "canary" and rng.random() < slow_share else FAST_US
            items = tuple(f"i{item}" for item in rng.permutation(N_ITEMS)[:LIST_LENGTH])
            exposures.append(
                Exposure(f"r{user}-{request}", time, f"u{user}", arm, "1", "personal", items, latency_us)
            )
            if rng.random() < STABLE_CLICK_RATE + (click_lift if arm == "canary" else 0.0):
                event_id = f"e{user}-{request}"
                feedback.append(Feedback(event_id, time + 0.05, f"u{user}", items[0], "click", 1.0, arm=arm))
    write_events(folder, started_at, "exposure", exposures)
    write_events(folder, started_at, "feedback", feedback)


def write_events(folder: Path, started_at: float, kind: str, events: Iterable[Event]) -> None:
    """Write events of one kind to a closed segment file of a replica."""
    path = folder / "replica" / f"{kind}-{int(started_at * 1000)}-000001.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(encode(event) + b"\n" for event in events))
