"""Rating sets drawn by hypothesis: what every parity test runs on."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import surprise
from hypothesis import strategies as st

from marquee.interactions.matrix import RatingMatrix

STARS = {
    "whole": (1.0, 5.0, 1.0),
    "half": (0.5, 5.0, 0.5),
    "constant": (3.0, 3.0, 1.0),
    "ten": (0.0, 10.0, 1.0),
}


@dataclass(frozen=True)
class Drawn:
    """Ratings as a frame, as Surprise's training set and as ours, and pairs to predict."""

    frame: pd.DataFrame
    trainset: surprise.Trainset
    matrix: RatingMatrix
    testset: list[tuple[object, object, float]]


def drawn(
    seed: int, *, n_users: int, n_items: int, n_ratings: int, stars: str = "whole", twice: bool = True
) -> Drawn:
    """A rating set with one-rating users, and test pairs with unknown users and items.

    Ids are strings of users and numbers of items. With `twice`, a user may rate an item more than once.
    """
    rng = np.random.default_rng(seed)
    low, high, step = STARS[stars]
    cells = rng.choice(n_users * n_items, size=n_ratings, replace=twice)
    values = low + step * rng.integers(0, round((high - low) / step) + 1, size=n_ratings)
    users = [f"u{cell // n_items}" for cell in cells]
    frame = pd.DataFrame({"user": users, "item": cells % n_items, "rating": values})
    alone = pd.DataFrame({"user": ["only one"], "item": [n_items], "rating": [values[0]]})
    frame = pd.concat([frame, alone], ignore_index=True)
    scale = (low, max(high, low + 1))
    reader = surprise.Reader(rating_scale=scale)
    trainset = surprise.Dataset.load_from_df(frame, reader).build_full_trainset()
    pairs = zip(rng.integers(0, n_users + 2, 60), rng.integers(0, n_items + 2, 60), strict=True)
    testset = [(f"u{u}", int(i), 3.0) for u, i in pairs]
    testset += [("only one", n_items, 1.0), ("only one", 0, 2.0), ("nobody", "nothing", 3.0)]
    return Drawn(frame, trainset, RatingMatrix.from_frame(frame, scale), testset)


@st.composite
def rating_sets(draw: st.DrawFn, *, stars: tuple[str, ...] = tuple(STARS), twice: bool = True) -> Drawn:
    """Small rating sets of many shapes."""
    n_users, n_items = draw(st.integers(1, 25)), draw(st.integers(1, 20))
    n_ratings = draw(st.integers(1, max(1, n_users * n_items // 2)))
    seed = draw(st.integers(0, 2**32 - 1))
    sort = draw(st.sampled_from(stars))
    return drawn(seed, n_users=n_users, n_items=n_items, n_ratings=n_ratings, stars=sort, twice=twice)


def same_predictions(
    ours: surprise.AlgoBase,
    theirs: surprise.AlgoBase,
    testset: list[tuple[object, object, float]],
    atol: float,
) -> None:
    """Assert that both predict the same of a test set, details included."""
    for mine, its in zip(ours.test(testset), theirs.test(testset), strict=True):
        assert (mine.uid, mine.iid, mine.r_ui) == (its.uid, its.iid, its.r_ui)
        assert abs(mine.est - its.est) <= atol, (mine, its)
        assert mine.details == its.details
