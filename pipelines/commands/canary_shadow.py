"""`marquee canary shadow`: compare the challenger's responses to recorded requests with the champion's."""

from collections import deque
from pathlib import Path

from rich.table import Table

from experiments.config import Params
from experiments.tracking.model_registry import ModelVersion
from marquee.errors import MarqueeError
from marquee.events import Exposure
from pipelines.support.bento import prepare_arm
from pipelines.support.console import create_console
from pipelines.support.model_versions import require_rollout_versions
from service.recommendation.list_selection import FALLBACK_LEVELS
from service.recommendation.loaded_model import LoadedModel
from service.recommendation.recorded_request_replay import ShadowComparison, replay_and_compare
from service.telemetry.reader import read_events


def print_shadow_comparison(params: Params, version: int | None, events: Path, max_requests: int) -> None:
    """Replay recorded requests on champion and challenger, and print how their responses differ.

    Args:
        params: parameters of the project.
        version: version of the registered model to compare with the champion; None for the challenger.
        events: folder of the recorded events.
        max_requests: maximum number of requests to replay; the latest ones are used.

    Raises:
        MarqueeError: the version does not exist, or no request of a user was recorded.
    """
    versions = require_rollout_versions(params.registration.model, version)
    exposures = deque(
        (event for event in read_events(events) if isinstance(event, Exposure) and event.user),
        maxlen=max_requests,
    )
    if not exposures:
        raise MarqueeError(
            f"{events} contains no recorded requests of users; serve some requests first, or set --events"
        )
    champion, challenger = (_load_model(params, version) for version in versions)
    comparison = replay_and_compare(exposures, champion, challenger)
    console = create_console()
    console.print(_build_comparison_table(comparison, *(version.version for version in versions)))
    console.print(
        f"\nRank-biased overlap of the lists: {comparison.overlap:.3f}, averaged over "
        f"{comparison.requests:,} requests. {comparison.disjoint:.1%} of the lists have no item in common."
    )


def _load_model(params: Params, version: ModelVersion) -> LoadedModel:
    return LoadedModel.load(Path(prepare_arm(params, version).bento) / "src" / "model")


def _build_comparison_table(comparison: ShadowComparison, champion: int, challenger: int) -> Table:
    """Return a table with one column for each version."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column(f"champion (version {champion})", justify="right")
    table.add_column(f"challenger (version {challenger})", justify="right")
    models = (comparison.champion, comparison.challenger)
    table.add_row("catalog coverage", *(f"{model.coverage:.1%}" for model in models))
    table.add_row("latency p50, µs", *(f"{model.p50_us:.1f}" for model in models))
    table.add_row("latency p99, µs", *(f"{model.p99_us:.1f}" for model in models))
    table.add_row("lists shorter than recorded", *(f"{model.shorter_lists:,}" for model in models))
    for level in FALLBACK_LEVELS:
        counts = [model.fallback_levels.get(level, 0) for model in models]
        if any(counts):
            shares = (count / comparison.requests for count in counts)
            table.add_row(f"fallback level {level}", *(f"{share:.1%}" for share in shares))
    return table
