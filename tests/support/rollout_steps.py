"""One step of a rollout for tests of its analysis: a policy of seconds, and the events of its users."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from marquee.events import Event, Exposure, Feedback, encode

POLICY: dict[str, Any] = {
    "steps": [0.5, 1.0], "aim": "superiority", "margin": 0.0, "alpha": 0.05, "guardrail_alpha": 0.01,
    "tolerance": {
        "errors": 1.5, "slow": 2.0, "below_personal": 1.5, "empty": 1.0, "popularity": 1.0, "overlap": 1.0,
    },
    "step_seconds": 10, "step_users": 50, "quality_users": 50, "drift_users": 50,
    "stale_seconds": 1000, "unhealthy_seconds": 60,
    "max_restarts": 0, "deadline_seconds": 10000, "at_deadline": "roll back",
    "objective": "click_through", "window_seconds": 5, "slow_ms": 100, "max_outcome": None,
}  # fmt: skip
POPULARITY = {f"i{item}": 0.02 for item in range(50)}


def policy_file(folder: Path, **changes: Any) -> Path:
    path = folder / "policy.json"
    path.write_text(json.dumps({**POLICY, **changes}))
    return path


def write_users(folder: Path, began: float, *, better: float, slow: float = 0.0, users: int = 600) -> None:
    """Half of the requests are the canary's, whose lists are clicked more often by `better`."""
    rng = np.random.default_rng(0)
    events: dict[str, list[Event]] = {"exposure": [], "feedback": []}
    for user in range(users):
        for request in range(rng.integers(1, 4)):
            arm = "canary" if rng.random() < 0.5 else "stable"
            at = began + 2 + user / users + request / 10
            late = 200_000 if arm == "canary" and rng.random() < slow else 500
            items = tuple(f"i{item}" for item in rng.permutation(50)[:5])
            shown = Exposure(f"r{user}-{request}", at, f"u{user}", arm, "1", "personal", items, late)
            events["exposure"].append(shown)
            if rng.random() < 0.3 + (better if arm == "canary" else 0.0):
                click = Feedback(f"e{user}-{request}", at + 0.05, f"u{user}", items[0], "click", 1.0)
                events["feedback"].append(replace(click, arm=arm))
    (folder / "r").mkdir(parents=True)
    for kind, each in events.items():
        lines = b"".join(encode(event) + b"\n" for event in each)
        (folder / "r" / f"{kind}-{int(began * 1000)}-000001.jsonl").write_bytes(lines)
