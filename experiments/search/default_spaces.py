"""Default search spaces: the grid of each candidate for ratings and for implicit feedback.

`candidates: {edlae: default}` in params.yaml stands for the space below that fits the data. The values were
chosen on validation parts of MovieLens 1M and 100K, with and without their ratings (docs/algorithms.md).
"""

from collections.abc import Mapping
from typing import Any

from experiments.config.offline import DEFAULT_SPACE, ParameterDomain, SearchParams, SearchSpace
from marquee.algorithms.registry import POPULARITY
from marquee.array_types import RatingScale
from marquee.errors import ConfigError
from marquee.rating_scale import find_rating

Space = Mapping[str, list[Any]]

NEUTRAL_SHARE = 0.25  # part of the way up the rating scale at which a linear weight is 0: 2 of 1 to 5

HALF_LIVES: Space = {"half_life": [None, 7, 30, 90]}  # of popularity, in days
IMPLICIT_SPACES: Mapping[str, Space] = {
    "ease": {"weighting": ["binary", "log"], "reg": [400, 800, 1600]},
    "edlae": {"weighting": ["binary", "log"], "reg": [300, 500, 1000], "dropout": [0.33, 0.5]},
    "slim": {"l1_reg": [1.0], "l2_reg": [300, 600], "k": [300]},
    "ials": {"unobserved_weight": [0.2, 0.4], "reg_exponent": [0.5], "reg": [0.3, 0.45], "n_epochs": [8, 16]},
    "item_knn": {"similarity": ["tf_idf"], "k": [200]},
    "user_knn": {"similarity": ["cosine", "jaccard"], "k": [100]},
    "rp3beta": {"alpha": [0.6, 0.8], "beta": [0.4, 0.6], "k": [200, 400]},
}


def build_explicit_spaces(scale: RatingScale) -> Mapping[str, Space]:
    """Return the default search spaces for ratings on a scale, by candidate."""
    neutral = find_rating(scale, NEUTRAL_SHARE)
    liking: Space = {"weighting": ["linear"], "neutral": [neutral]}
    return {
        "ease": {"weighting": ["binary", "linear"], "reg": [150, 300, 600]},
        "edlae": {"weighting": ["linear"], "reg": [150, 300, 600], "dropout": [0.33, 0.5]},
        "slim": {"weighting": ["linear"], "l1_reg": [0.5], "l2_reg": [100, 300], "k": [300]},
        "ials": {
            "weighting": ["linear"],
            "neutral": [scale[0], neutral],
            "n_factors": [64, 128],
            "unobserved_weight": [0.1],
            "reg_exponent": [0.5],
            "reg": [0.2, 0.3, 0.45],
            "n_epochs": [8, 16],
        },
        "item_knn": {**liking, "similarity": ["tf_idf"], "k": [200]},
        "user_knn": {**liking, "similarity": ["tf_idf"], "k": [100]},
        "rp3beta": {"weighting": ["linear"], "alpha": [0.6, 0.8], "beta": [0.4, 0.6], "k": [200, 400]},
    }


def resolve_default_spaces(
    search: SearchParams, scale: RatingScale | None, *, is_ordered: bool
) -> SearchParams:
    """Return the parameters of a search with every default space replaced by its values.

    Args:
        search: the `search` block of params.yaml.
        scale: rating scale; None: implicit feedback.
        is_ordered: True if the held-out interactions are later than those before them. Only then can
            yesterday's popularity say more about them than that of all time.

    Raises:
        ConfigError: a candidate has no default space.
    """
    spaces = dict(IMPLICIT_SPACES if scale is None else build_explicit_spaces(scale))
    spaces[POPULARITY] = HALF_LIVES if is_ordered else {}
    resolved = {
        name: _find_space(name, spaces) if space == DEFAULT_SPACE else space
        for name, space in search.candidates.items()
    }
    return search.model_copy(update={"candidates": resolved})


def _find_space(name: str, spaces: Mapping[str, Space]) -> SearchSpace:
    if name not in spaces:
        raise ConfigError(
            f"search.candidates.{name}: there is no default search space (there is one for "
            f"{', '.join(spaces)}); list the values of its parameters, or write {{}} for its defaults"
        )
    domains: dict[str, ParameterDomain] = {key: list(values) for key, values in spaces[name].items()}
    return domains
