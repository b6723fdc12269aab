"""What the evaluation that lies here found: the scores on the test part, and the champion's beside them."""

import hashlib
from typing import Any

from pipelines.paths import CHAMPION, EVALUATION
from pipelines.stage import read_json


def scores() -> dict[str, dict[str, Any]]:
    """Scores on the test part: the winner's, then the baselines'."""
    return read_json(EVALUATION)


def champion_score() -> dict[str, float]:
    """How the champion's recipe did in this very evaluation; empty if it was another, or there was none."""
    told = read_json(CHAMPION) if CHAMPION.exists() else {}
    if told.pop("evaluation", None) != hashlib.sha256(EVALUATION.read_bytes()).hexdigest():
        return {}
    return told
