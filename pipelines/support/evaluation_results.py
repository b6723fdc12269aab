"""What the evaluation that lies here found: the scores on the test part, and the champion's beside them."""

from typing import Any

from marquee.files.digest import sha256_of
from pipelines.support.paths import CHAMPION, EVALUATION
from pipelines.support.stage_runner import read_json


def scores() -> dict[str, dict[str, Any]]:
    """Scores on the test part: the winner's, then the baselines'."""
    return read_json(EVALUATION)


def champion_score() -> dict[str, float]:
    """How the champion's recipe did in this very evaluation; empty if it was another, or there was none."""
    told = read_json(CHAMPION) if CHAMPION.exists() else {}
    if told.pop("evaluation", None) != sha256_of(EVALUATION):
        return {}
    return told
