"""What top-N lists do to users and to the catalogue, whatever was held out.

    top-N lists (marquee.top_n) ──┬────────────── personalisation   do users get lists of their own?
    (n_users, N), best first,    ├─ n_items ──── coverage, gini    is the catalogue shown, and evenly?
    padded with NONE             ├─ popularity ─ novelty           are items shown that few know?
                                 ├─ profiles ─── popularity_lift   more popular than what they chose?
                                 └─ ratings ──── diversity         do the items of a list differ?

A group of users is measured by its rows alone: `personalisation(lists[group], n)`. Only the first n
places count; `popularity` is the number of training ratings of each item. Every mean is per user first,
over the users who have what is averaged. A figure that nobody's list defines is NaN: neither end of its
scale would be true. Lists that name an item twice, or one that does not exist, are refused (DataError).
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from marquee.arrays import Floats, Indices, Integers, Mask
from marquee.errors import DataError
from marquee.interactions.matrix import RatingMatrix
from marquee.top_n import NONE

Words: TypeAlias = npt.NDArray[np.uint64]  # 64 users each, yes or no

USER_BLOCK = 4_096  # users at a time whose ratings are bits: 60,000 items of 4,096 bits are 31 MB
ITEM_BLOCK = 4_096  # items at a time before they are packed: 4,096 by 4,096 bytes are 17 MB
PAIR_BLOCK = 16_384  # pairs of items at a time: 16,384 by 4,096 bits are 8 MB


def personalisation(lists: Integers, n: int) -> float:
    """Mean distance of two users' lists, over all pairs of users: 0 if all get the same, 1 if none share.

    The distance is 1 - |items in both| / n; Zhou et al. (2010). An empty place is shared with
    nobody: of two equal lists of m < n items the distance is 1 - m / n. NaN for fewer than two users.

    Pairs are not visited: an item in c lists is shared by c (c - 1) / 2 pairs of users.
    """
    shown = _first(lists, n, "personalisation")
    n_pairs = len(shown) * (len(shown) - 1) // 2
    if not n_pairs:
        return float("nan")
    counts = np.unique(shown[shown != NONE], return_counts=True)[1].astype(np.int64)
    shared = int((counts * (counts - 1) // 2).sum())
    return 1 - shared / (n * n_pairs)


def coverage(lists: Integers, n_items: int, n: int) -> float:
    """Which share of the items stands in the first n places of somebody's list; 0 without any user."""
    return float(np.count_nonzero(_exposure(lists, n_items, n, "coverage")) / n_items)


def gini(lists: Integers, n_items: int, n: int) -> float:
    """Gini coefficient of exposure, of how many lists each item of the catalogue stands in.

    0 if all items are shown equally often, (n_items - 1) / n_items if one has all places. Items that
    nobody is shown count. With exposures x_1 <= ... <= x_m it is sum_i (2 i - m - 1) x_i / (m sum_i x_i);
    Fleder and Hosanagar (2009). NaN if nothing is shown.
    """
    exposure = np.sort(_exposure(lists, n_items, n, "gini"))
    if not exposure.any():
        return float("nan")
    weights = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float((weights * exposure).sum() / (n_items * exposure.sum()))  # whole numbers up to here


def novelty(lists: Integers, popularity: Indices, n_users: int, n: int) -> float:
    """Mean self-information of the items shown, in bits: -log2(share of the users who rated it).

    Zhou et al. (2010). An item that nobody rated would carry infinitely many bits; it counts as if one
    user had rated it, log2(n_users), the most that training can tell. Users with empty lists are left out.

    Args:
        lists: those of the users to measure.
        popularity: training ratings of each item, shape (n_items,).
        n_users: number of users in training, whoever is measured.
        n: places that count.

    Raises:
        DataError: an item has more ratings than there are users.
    """
    if popularity.max(initial=0) > n_users:
        raise DataError(
            f"item {popularity.argmax()} has {popularity.max()} ratings from {n_users} users: "
            "n_users is that of training, and a user rates an item once"
        )
    bits = np.log2(n_users) - np.log2(np.maximum(popularity, 1))
    return _mean(_list_means(_first(lists, n, "novelty", len(popularity)), bits))


def popularity_lift(lists: Integers, popularity: Indices, profiles: Floats, n: int) -> float:
    """By which share the lists are more popular than what the same users chose: 0 not at all, 1 twice.

    (GAP of the lists - GAP of the profiles) / GAP of the profiles, where GAP, the group's average
    popularity, is the mean over its users of the mean popularity of each one's items; Abdollahpouri et
    al. (2019). Their popularity is a share of users, ours a count: the ratio is the same. Users with an
    empty list or profile are left out of both.

    Args:
        lists: those of the users to measure.
        popularity: training ratings of each item, shape (n_items,).
        profiles: mean popularity of the items that the same users rated, as `profile_popularity` has it.
        n: places that count.

    Raises:
        DataError: there is not a profile for every list.
    """
    if len(lists) != len(profiles):
        raise DataError(f"{len(lists)} lists and {len(profiles)} profiles: take both of the same users")
    shown = _list_means(_first(lists, n, "popularity_lift", len(popularity)), popularity)
    both = np.isfinite(shown) & np.isfinite(profiles)
    profile = _mean(profiles[both])
    return (_mean(shown[both]) - profile) / profile


def profile_popularity(matrix: RatingMatrix) -> Floats:
    """Mean popularity of the items that each user rated in training, shape (n_users,); NaN without any."""
    sums = np.zeros(len(matrix.items) + 1, dtype=np.int64)
    np.cumsum(matrix.item_counts()[matrix.items], out=sums[1:])
    with np.errstate(invalid="ignore"):
        return np.asarray(np.diff(sums[matrix.indptr]) / np.diff(matrix.indptr))


def diversity(lists: Integers, matrix: RatingMatrix, n: int) -> float:
    """Mean distance of two items of a list: 0 if the same users rated them, 1 if nobody rated both.

    The distance is 1 - cosine of the items' columns of who rated them, yes or no: 1 - |raters of both| /
    sqrt(|raters of one| |raters of the other|). It is 1 minus the intra-list similarity of Ziegler et al.
    (2005), with collaborative vectors in place of their taxonomy, and as a mean over the pairs of a list
    where they take the sum, so that lists of several lengths compare. An item that nobody rated is at
    distance 1 from all. Users with fewer than two items in their lists are left out; n = 1 gives NaN.

    Only items and pairs that occur in the lists are worked on: memory is theirs, not n_items squared.
    """
    shown = _first(lists, n, "diversity", matrix.n_items)
    one, other = np.triu_indices(n, k=1)
    low = np.minimum(shown[:, one], shown[:, other]).astype(np.int64)
    exist = low != NONE
    keys = (low * matrix.n_items + np.maximum(shown[:, one], shown[:, other]))[exist]
    pairs, where = np.unique(keys, return_inverse=True)
    distances = np.zeros(exist.shape)
    distances[exist] = _distances(pairs // matrix.n_items, pairs % matrix.n_items, matrix)[where]
    n_pairs = exist.sum(axis=1)
    return _mean(distances.sum(axis=1)[n_pairs > 0] / n_pairs[n_pairs > 0])


def refuse_short(length: int, n: int, metric: str) -> None:
    """Refuse to measure the first n places of lists that have only `length`.

    Raises:
        DataError: n is below one, or more than the lists have.
    """
    if not 1 <= n <= length:
        raise DataError(f"{metric}@{n} cannot be taken of lists of {length} items: make longer ones")


def named_twice(lists: Integers) -> Mask:
    """Which lists name an item more than once, shape (n_users,); padding is no item."""
    ordered = np.sort(lists, axis=1)
    repeated: Mask = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NONE)).any(axis=1)
    return repeated


def _distances(one: Indices, other: Indices, matrix: RatingMatrix) -> Floats:
    """1 - cosine of the columns of each pair of items.

    A column is a row of bits, a bit a user: one `and` of 64-bit words compares 64 users.
    """
    items, places = np.unique(np.concatenate([one, other]), return_inverse=True)
    one, other = places[: len(one)], places[len(one) :]
    raters, both = np.zeros(len(items), dtype=np.int64), np.zeros(len(one), dtype=np.int64)
    for start in range(0, matrix.n_users, USER_BLOCK):
        bits = _rater_bits(items, matrix, start, min(start + USER_BLOCK, matrix.n_users))
        raters += np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
        for first in range(0, len(one), PAIR_BLOCK):
            block = slice(first, first + PAIR_BLOCK)
            both[block] += np.bitwise_count(bits[one[block]] & bits[other[block]]).sum(axis=1, dtype=np.int64)
    scale = np.sqrt(raters[one] * raters[other])
    cosines = np.zeros(len(one))
    np.divide(both, scale, out=cosines, where=scale > 0)
    return 1 - cosines


def _rater_bits(items: Indices, matrix: RatingMatrix, start: int, stop: int) -> Words:
    """Which of the users from start to stop rated each item, shape (len(items), words of 64 users)."""
    ratings = slice(matrix.indptr[start], matrix.indptr[stop])
    users = np.repeat(np.arange(stop - start), np.diff(matrix.indptr[start : stop + 1]))
    row_of = np.full(matrix.n_items, NONE)
    row_of[items] = np.arange(len(items))
    rows = row_of[matrix.items[ratings]]
    width = -(-(stop - start) // 64) * 64
    packed = np.empty((len(items), width // 8), dtype=np.uint8)
    for first in range(0, len(items), ITEM_BLOCK):
        last = min(first + ITEM_BLOCK, len(items))
        inside = (rows >= first) & (rows < last)
        rated = np.zeros((last - first, width), dtype=np.bool_)
        rated[rows[inside] - first, users[inside]] = True
        packed[first:last] = np.packbits(rated, axis=1)
    return packed.view(np.uint64)


def _exposure(lists: Integers, n_items: int, n: int, metric: str) -> Indices:
    """In how many lists each item stands, shape (n_items,)."""
    shown = _first(lists, n, metric, n_items)
    return np.bincount(shown[shown != NONE], minlength=n_items)


def _first(lists: Integers, n: int, metric: str, n_items: int | None = None) -> Integers:
    """The first n places of each list, each item once; numbers below `n_items` where that is known."""
    refuse_short(lists.shape[1], n, metric)
    shown = lists[:, :n]
    twice = named_twice(shown)
    if twice.any():
        raise DataError(f"the list in row {twice.argmax()} names an item twice: each item may stand once")
    if n_items is not None and shown.max(initial=NONE) >= n_items:
        raise DataError(
            f"the lists name item {shown.max()}, but there are {n_items} items: take those of training"
        )
    return shown


def _list_means(shown: Integers, values: Floats | Indices) -> Floats:
    """Mean value of the items of each list, shape (n_users,); NaN for an empty one."""
    exist = shown != NONE
    sums = np.where(exist, values[shown], 0).sum(axis=1)  # NONE takes the last value, which is left out
    means = np.full(len(shown), np.nan)
    np.divide(sums, exist.sum(axis=1), out=means, where=exist.any(axis=1))
    return means


def _mean(values: Floats) -> float:
    """The mean of what is defined; NaN if nothing is."""
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) else float("nan")
