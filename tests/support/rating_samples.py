"""Random rating samples for tests that compare an algorithm with its twin in scikit-surprise."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import surprise
from hypothesis import strategies as st

from marquee.algorithms.trainset import Testset
from marquee.interactions.matrix import InteractionMatrix

RATING_SCALES = {  # lowest rating, highest rating, step
    "whole": (1.0, 5.0, 1.0),
    "half": (0.5, 5.0, 0.5),
    "constant": (3.0, 3.0, 1.0),
    "ten": (0.0, 10.0, 1.0),
}


@dataclass(frozen=True)
class RatingSample:
    """Ratings in three forms, and test ratings that include unknown users and items."""

    frame: pd.DataFrame
    trainset: surprise.Trainset
    matrix: InteractionMatrix
    testset: Testset


def sample_ratings(
    seed: int,
    *,
    n_users: int,
    n_items: int,
    n_ratings: int,
    scale_name: str = "whole",
    allow_repeats: bool = True,
) -> RatingSample:
    """Return a rating sample with string user ids and integer item ids.

    One rating is by a user, and of an item, that have no other rating.

    Args:
        seed: seed of the random generator.
        n_users: number of possible users besides "only one".
        n_items: number of possible items besides `n_items` itself.
        n_ratings: number of ratings besides that of "only one".
        scale_name: key of `RATING_SCALES`.
        allow_repeats: let a user rate an item more than once.
    """
    rng = np.random.default_rng(seed)
    low, high, step = RATING_SCALES[scale_name]
    cells = rng.choice(n_users * n_items, size=n_ratings, replace=allow_repeats)
    values = low + step * rng.integers(0, round((high - low) / step) + 1, size=n_ratings)
    users = [f"u{cell // n_items}" for cell in cells]
    frame = pd.DataFrame({"user": users, "item": cells % n_items, "rating": values})
    single = pd.DataFrame({"user": ["only one"], "item": [n_items], "rating": [values[0]]})
    frame = pd.concat([frame, single], ignore_index=True)
    scale = (low, max(high, low + 1))
    dataset = surprise.Dataset.load_from_df(frame, surprise.Reader(rating_scale=scale))
    pairs = zip(rng.integers(0, n_users + 2, 60), rng.integers(0, n_items + 2, 60), strict=True)
    testset: Testset = [(f"u{user}", int(item), 3.0) for user, item in pairs]
    testset += [("only one", n_items, 1.0), ("only one", 0, 2.0), ("nobody", "nothing", 3.0)]
    return RatingSample(
        frame, dataset.build_full_trainset(), InteractionMatrix.from_frame(frame, scale), testset
    )


@st.composite
def rating_samples(
    draw: st.DrawFn, *, scale_names: tuple[str, ...] = tuple(RATING_SCALES), allow_repeats: bool = True
) -> RatingSample:
    """Hypothesis strategy for small rating samples of many shapes."""
    n_users, n_items = draw(st.integers(1, 25)), draw(st.integers(1, 20))
    n_ratings = draw(st.integers(1, max(1, n_users * n_items // 2)))
    seed = draw(st.integers(0, 2**32 - 1))
    return sample_ratings(
        seed,
        n_users=n_users,
        n_items=n_items,
        n_ratings=n_ratings,
        scale_name=draw(st.sampled_from(scale_names)),
        allow_repeats=allow_repeats,
    )


def assert_same_predictions(
    algorithm: surprise.AlgoBase,
    reference: surprise.AlgoBase,
    testset: Testset,
    atol: float,
) -> None:
    """Assert that two fitted algorithms predict the same ratings with the same details."""
    for actual, expected in zip(algorithm.test(testset), reference.test(testset), strict=True):
        assert (actual.uid, actual.iid, actual.r_ui) == (expected.uid, expected.iid, expected.r_ui)
        assert abs(actual.est - expected.est) <= atol, (actual, expected)
        assert actual.details == expected.details
