"""Lists for everybody: the best 20 unseen items of each user, beside implicit's `recommend`.

    python -m benchmarks.topn [--quick] [--only NAME] [--json FILE]

Both sides get the same factors, the same seen items and two threads; the rounds alternate, and the median
counts. `million` is ours alone: a million users, 27,000 items, 64 factors, the lists written to files that
are mapped into memory. The ratings are those of MARQUEE_DATA_DIR.
"""

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

from benchmarks.measure import peak_mb
from benchmarks.search import Row, ratings_of, run, sampled
from marquee.algorithms.registry import candidate
from marquee.algorithms.retrieval import best_lists, factor_lists
from marquee.algorithms.svd import SVD
from marquee.algorithms.threads import threads
from marquee.interactions.matrix import RatingMatrix

BEST, FACTORS, THREADS, ROUNDS = 20, 64, 2, 9
USERS, ITEMS, SEEN = 1_000_000, 27_000, 100


def movielens_row(share: float) -> Row:
    """ML-1M, ours and implicit's in turn."""
    matrix = RatingMatrix.from_frame(sampled(ratings_of("ml-1m"), share), (1.0, 5.0))
    model = candidate("svd").make({"n_factors": FACTORS, "n_epochs": 5}, 1).fit(matrix)
    assert isinstance(model, SVD)
    theirs = implicit_of(model)
    liked = csr_matrix(
        (np.ones(len(matrix.items), np.float32), matrix.items, matrix.indptr),
        shape=(matrix.n_users, matrix.n_items),
    )
    users = np.arange(matrix.n_users)
    contenders: tuple[Callable[[], object], ...] = (
        lambda: best_lists(model, matrix.indptr, matrix.items, BEST),
        lambda: theirs.recommend(users, liked, N=BEST, filter_already_liked_items=True),
    )
    with threads(THREADS):
        rounds = np.array([[seconds(each) for each in contenders] for _ in range(1 + ROUNDS)])[1:]
    ours, peer = np.median(rounds, axis=0).tolist()
    spread = f"ours {rounds[:, 0].min():.3f} to {rounds[:, 0].max():.3f} s"
    mark = "✓" if ours <= 0.25 and ours <= peer else "✗"
    note = f"target 0.25 s and no slower than implicit {mark}; {spread}"
    return Row(f"top {BEST} of {matrix.n_users} users, ml-1m", ours, peer, peer / ours, "s", ROUNDS, note)


def implicit_of(model: SVD) -> AlternatingLeastSquares:
    """Implicit's model with our factors; the biases as one factor more, as its own models would have them."""
    theirs = AlternatingLeastSquares(factors=FACTORS + 1, num_threads=THREADS)
    theirs.user_factors = np.column_stack([model.pu, np.ones(len(model.pu))]).astype(np.float32)
    theirs.item_factors = np.column_stack([model.qi, model.bi]).astype(np.float32)
    return theirs


def million_row(share: float) -> Row:
    """A million users: seconds, and the peak of memory over what the factors take."""
    rng = np.random.default_rng(0)
    n_users, n_items = int(USERS * share), int(ITEMS * min(1, share * 10))
    user_factors = rng.standard_normal((n_users, FACTORS)) / 8
    item_factors = rng.standard_normal((n_items, FACTORS)) / 8
    popular = (n_items * rng.random(n_users * SEEN) ** 3).astype(np.int32)  # a long tail of raters
    indptr = np.arange(n_users + 1, dtype=np.int64) * SEEN
    items, users = np.zeros(n_items), np.zeros(n_users)
    with TemporaryDirectory() as folder:
        shape = (n_users, BEST)
        out = (
            np.lib.format.open_memmap(Path(folder) / "items.npy", "w+", np.int32, shape),
            np.lib.format.open_memmap(Path(folder) / "scores.npy", "w+", np.float32, shape),
        )
        before = peak_mb()
        with threads(THREADS):
            took = seconds(
                lambda: factor_lists((user_factors, users), (item_factors, items), indptr, popular, BEST, out)
            )
        more = peak_mb() - before  # files that are mapped included
    note = f"target 240 s {'✓' if took <= 240 else '✗'}; {more:.0f} MB of memory over the factors"
    return Row(f"top {BEST} of {n_users} users x {n_items} items", took, None, None, "s", 1, note)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


PARTS: dict[str, Callable[[float], Iterable[Row]]] = {
    "movielens": lambda share: [movielens_row(share)],
    "million": lambda share: [million_row(share)],
}

if __name__ == "__main__":
    sys.exit(run("python -m benchmarks.topn", __doc__, PARTS))
