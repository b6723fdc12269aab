"""Default search spaces: the grid of each candidate for ratings and for implicit feedback.

`candidates: {edlae: default}` in params.yaml stands for the space below that fits the data. The values were
chosen on validation parts of MovieLens 1M and 100K, with and without their ratings (docs/algorithms.md).
"""

from collections.abc import Mapping
from typing import Any

from experiments.config.offline import DEFAULT_SPACE, ParameterDomain, SearchParams, SearchSpace
from marquee.errors import ConfigError
from marquee.interactions.columns import FeedbackType

Space = Mapping[str, list[Any]]

EXPLICIT: Mapping[str, Space] = {
    "ease": {"weighting": ["binary", "linear"], "reg": [50, 100, 200, 400, 800]},
}
IMPLICIT: Mapping[str, Space] = {
    "ease": {"weighting": ["binary"], "reg": [50, 100, 200, 400, 800]},
}


def resolve_default_spaces(search: SearchParams, feedback: FeedbackType) -> SearchParams:
    """Return the parameters of a search with every default space replaced by its values.

    Raises:
        ConfigError: a candidate has no default space.
    """
    spaces = {
        name: find_default_space(name, feedback) if space == DEFAULT_SPACE else space
        for name, space in search.candidates.items()
    }
    return search.model_copy(update={"candidates": spaces})


def find_default_space(name: str, feedback: FeedbackType) -> SearchSpace:
    """Return the default search space of a candidate for this kind of feedback.

    Raises:
        ConfigError: it has none.
    """
    spaces = EXPLICIT if feedback == "explicit" else IMPLICIT
    if name not in spaces:
        raise ConfigError(
            f"search.candidates.{name}: there is no default search space (there is one for "
            f"{', '.join(spaces)}); list the values of its parameters, or write {{}} for its defaults"
        )
    domains: dict[str, ParameterDomain] = {key: list(values) for key, values in spaces[name].items()}
    return domains
