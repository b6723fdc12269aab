"""Versions of the registered model that a command needs, with an error if there are none."""

from experiments.tracking.model_registry import ModelVersion, find_challenger, find_champion, get_version
from marquee.errors import MarqueeError


def require_champion(model: str) -> ModelVersion:
    """Return the champion of a registered model.

    Raises:
        MarqueeError: the model has no champion.
    """
    champion = find_champion(model)
    if champion is None:
        raise MarqueeError(f"'{model}' has no champion to serve; run `make repro` first")
    return champion


def require_rollout_versions(model: str, number: int | None) -> tuple[ModelVersion, ModelVersion]:
    """Return the champion and the version to roll out.

    Args:
        model: name of the registered model.
        number: number of the version to roll out; None for the challenger.

    Raises:
        MarqueeError: the model has no champion, or the version to roll out does not exist.
    """
    champion = find_champion(model)
    challenger = find_challenger(model) if number is None else get_version(model, number)
    if champion is None or challenger is None:
        raise MarqueeError(f"'{model}' has no champion or no challenger; run `make repro` first")
    return champion, challenger
