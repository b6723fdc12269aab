"""Beyond-accuracy metrics of top-N lists, which need no held-out data.

    personalization    dissimilarity of the lists of different users
    coverage, gini     share of the catalog that is recommended, and how unequally
    novelty            rarity of the recommended items
    popularity_lift    popularity of the recommended items relative to the users' histories
    diversity          dissimilarity of the items within a list

Lists have shape (n_users, N), best item first, padded with `PADDING` (see `marquee.top_n`); metrics use
the first n positions. To measure a segment, pass its rows only: `personalization(lists[mask], n)`. Means
are taken per user first, then over the users with a defined value; without any such user the metric is
NaN. All metrics raise a DataError if a list contains an item twice, and all except personalization also if
it contains an unknown item.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from marquee.array_types import BoolArray, Float64Array, Int32Array, Int64Array
from marquee.errors import DataError
from marquee.interactions.matrix import InteractionMatrix
from marquee.logarithms import log2
from marquee.top_n import PADDING

BitRows: TypeAlias = npt.NDArray[np.uint64]  # one bit per user, 64 users per word

# Block sizes bound the memory of `diversity`.
USERS_PER_BLOCK = 4_096  # bits of 60,000 items: 31 MB
ITEMS_PER_BLOCK = 4_096  # unpacked flags of 4,096 users: 17 MB
PAIRS_PER_BLOCK = 16_384  # bits of 4,096 users: 8 MB


def measure_beyond_accuracy(
    lists: Int32Array,
    matrix: InteractionMatrix,
    profiles: Float64Array,
    n: int,
    *,
    has_diversity: bool = True,
) -> dict[str, float]:
    """Return all metrics of this module by name, except undefined ones.

    Args:
        lists: lists of the users to measure.
        matrix: training matrix.
        profiles: mean popularity of what each of these users interacted with, shape (n_users,).
        n: positions to use.
        has_diversity: measure diversity, which takes longer than all others together.
    """
    popularity = matrix.item_counts()
    metrics = {
        "personalization": personalization(lists, n),
        "coverage": coverage(lists, matrix.n_items, n),
        "novelty": novelty(lists, popularity, matrix.n_users, n),
        "popularity_lift": popularity_lift(lists, popularity, profiles, n),
        "gini": gini(lists, matrix.n_items, n),
    }
    if has_diversity:
        metrics["diversity"] = diversity(lists, matrix, n)
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def personalization(lists: Int32Array, n: int) -> float:
    """Return the mean distance of two users' lists: 0 if all are equal, 1 if no two share an item.

    The distance of two lists is 1 - |common items| / n; Zhou et al. (2010). Padding never counts as common,
    so two equal lists of m < n items have distance 1 - m / n. NaN for fewer than two users.

    >>> personalization(np.array([[0, 1], [1, 2]]), n=2)
    0.5
    """
    items = _first_positions(lists, n, "personalization")
    n_pairs = len(items) * (len(items) - 1) // 2
    if not n_pairs:
        return float("nan")
    # An item in c lists is common to c (c - 1) / 2 pairs of users: no need to visit each pair.
    counts = np.unique(items[items != PADDING], return_counts=True)[1].astype(np.int64)
    n_common = int((counts * (counts - 1) // 2).sum())
    return 1 - n_common / (n * n_pairs)


def coverage(lists: Int32Array, n_items: int, n: int) -> float:
    """Return the share of all items that occur in at least one list; 0 without any list.

    >>> coverage(np.array([[0, 1], [1, 2]]), n_items=4, n=2)
    0.75
    """
    return float(np.count_nonzero(_list_counts(lists, n_items, n, "coverage")) / n_items)


def gini(lists: Int32Array, n_items: int, n: int) -> float:
    """Return the Gini coefficient of the number of lists each item occurs in, including items in no list.

    0 if all items are recommended equally often, (n_items - 1) / n_items if only one item is recommended, NaN
    if nothing is recommended; Fleder and Hosanagar (2009).

    >>> gini(np.array([[0], [0]]), n_items=4, n=1)
    0.75
    """
    return gini_of_counts(_list_counts(lists, n_items, n, "gini"))


def gini_of_counts(counts: Int64Array) -> float:
    """Return the Gini coefficient of counts: 0 if all are equal, close to 1 if only one is not 0.

    For sorted counts x_1 <= ... <= x_m it is sum_i (2 i - m - 1) x_i / (m sum_i x_i). NaN if all are 0.

    >>> gini_of_counts(np.array([0, 0, 0, 2]))
    0.75
    """
    ordered = np.sort(counts)
    if not ordered.any():
        return float("nan")
    weights = 2 * np.arange(1, len(ordered) + 1) - len(ordered) - 1
    return float((weights * ordered).sum() / (len(ordered) * ordered.sum()))  # both sums are exact integers


def novelty(lists: Int32Array, popularity: Int64Array, n_users: int, n: int) -> float:
    """Return the mean self-information of recommended items, in bits; Zhou et al. (2010).

    The self-information of an item is -log2(share of users who rated it). An item without ratings counts as
    if it had one, log2(n_users) bits; otherwise its self-information would be infinite. Users with empty
    lists are left out.

    Args:
        lists: lists of the users to measure.
        popularity: training ratings of each item, shape (n_items,).
        n_users: number of users in training, not of the lists.
        n: positions to use.

    Raises:
        DataError: an item has more ratings than there are users.

    >>> novelty(np.array([[0, 1]]), popularity=np.array([4, 1]), n_users=4, n=2)  # 0 and 2 bits
    1.0
    """
    if popularity.max(initial=0) > n_users:
        raise DataError(
            f"n_users must be the number of users in training: item {popularity.argmax()} has "
            f"{popularity.max()} ratings, more than n_users={n_users}"
        )
    bits = log2(n_users) - log2(np.maximum(popularity, 1))
    return _mean(_list_means(_first_positions(lists, n, "novelty", len(popularity)), bits))


def popularity_lift(lists: Int32Array, popularity: Int64Array, profiles: Float64Array, n: int) -> float:
    """Return how much more popular lists are than histories: 0 if equally, 1 if twice as popular.

    (GAP of the lists - GAP of the profiles) / GAP of the profiles, where GAP, the group average popularity,
    is the mean over users of the mean popularity of their items; Abdollahpouri et al. (2019). They define
    popularity as a share of users; here it is a count, which gives the same ratio. Users with an empty list
    or profile are left out of both.

    Args:
        lists: lists of the users to measure.
        popularity: training ratings of each item, shape (n_items,).
        profiles: `profile_popularity` of the same users, shape (n_users,).
        n: positions to use.

    Raises:
        DataError: the numbers of lists and profiles differ.

    >>> popularity_lift(np.array([[0, 1]]), popularity=np.array([4, 8]), profiles=np.array([3.0]), n=2)
    1.0
    """
    if len(lists) != len(profiles):
        raise DataError(
            "lists and profiles must belong to the same users "
            f"(got {len(lists)} lists and {len(profiles)} profiles)"
        )
    list_means = _list_means(_first_positions(lists, n, "popularity_lift", len(popularity)), popularity)
    is_defined = np.isfinite(list_means) & np.isfinite(profiles)
    profile_mean = _mean(profiles[is_defined])
    return (_mean(list_means[is_defined]) - profile_mean) / profile_mean


def profile_popularity(matrix: InteractionMatrix) -> Float64Array:
    """Return the mean popularity of the items that each user rated, shape (n_users,); NaN without ratings."""
    return mean_popularity(matrix.indptr, matrix.items, matrix.item_counts())


def mean_popularity(indptr: Int64Array, items: Int32Array, popularity: Int64Array) -> Float64Array:
    """Return the mean popularity of each user's items, shape (n_users,); NaN without items.

    Args:
        indptr: user u has the items `items[indptr[u]:indptr[u + 1]]`.
        items: inner ids.
        popularity: training ratings of each item, shape (n_items,).
    """
    # Differences of a cumulative sum give the sum of each user, including users without items.
    sums = np.zeros(len(items) + 1, dtype=np.int64)
    np.cumsum(popularity[items], out=sums[1:])
    with np.errstate(invalid="ignore"):
        return np.asarray(np.diff(sums[indptr]) / np.diff(indptr))


def diversity(lists: Int32Array, matrix: InteractionMatrix, n: int) -> float:
    """Return the mean distance between two items of a list: 0 if the same users rated them, 1 if no user did.

    The distance is 1 - cosine of the items' binary rating vectors: 1 - |users who rated both| /
    sqrt(|users who rated one| |users who rated the other|). It is 1 minus the intra-list similarity of
    Ziegler et al. (2005), with rating vectors instead of their taxonomy, and averaged over pairs instead of
    summed, so that lists of different lengths are comparable. An item without ratings has distance 1 to all
    others. Users with fewer than two items in their lists are left out, so n = 1 gives NaN.

    Memory grows with the items and pairs that occur in the lists, not with n_items squared.
    """
    items = _first_positions(lists, n, "diversity", matrix.n_items)
    first, second = np.triu_indices(n, k=1)
    lower = np.minimum(items[:, first], items[:, second]).astype(np.int64)
    is_pair = lower != PADDING
    keys = (lower * matrix.n_items + np.maximum(items[:, first], items[:, second]))[is_pair]
    unique_keys, positions = np.unique(keys, return_inverse=True)
    unique_distances = _item_distances(unique_keys // matrix.n_items, unique_keys % matrix.n_items, matrix)
    distances = np.zeros(is_pair.shape)
    distances[is_pair] = unique_distances[positions]
    n_pairs = is_pair.sum(axis=1)
    return _mean(distances.sum(axis=1)[n_pairs > 0] / n_pairs[n_pairs > 0])


def check_list_length(length: int, n: int, metric: str) -> None:
    """Check that the first n positions exist.

    Raises:
        DataError: n is less than 1 or greater than the length of the lists.
    """
    if not 1 <= n <= length:
        raise DataError(f"{metric}@{n} needs lists of at least {n} items and n >= 1 (got {length} items)")


def has_duplicate_items(lists: Int32Array) -> BoolArray:
    """Return True for each list that contains an item twice, shape (n_users,); padding may repeat."""
    ordered = np.sort(lists, axis=1)
    is_duplicate = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PADDING)
    mask: BoolArray = is_duplicate.any(axis=1)
    return mask


def _item_distances(first: Int64Array, second: Int64Array, matrix: InteractionMatrix) -> Float64Array:
    """Return 1 - cosine of the binary rating vectors of each pair of items.

    Vectors are bit sets, so that one `and` of two 64-bit words compares 64 users.
    """
    items, positions = np.unique(np.concatenate([first, second]), return_inverse=True)
    first, second = positions[: len(first)], positions[len(first) :]
    n_raters, n_common = np.zeros(len(items), dtype=np.int64), np.zeros(len(first), dtype=np.int64)
    for start in range(0, matrix.n_users, USERS_PER_BLOCK):
        bits = _rater_bits(items, matrix, start, min(start + USERS_PER_BLOCK, matrix.n_users))
        n_raters += np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
        for offset in range(0, len(first), PAIRS_PER_BLOCK):
            block = slice(offset, offset + PAIRS_PER_BLOCK)
            common = bits[first[block]] & bits[second[block]]
            n_common[block] += np.bitwise_count(common).sum(axis=1, dtype=np.int64)
    norms = np.sqrt(n_raters[first] * n_raters[second])
    cosines = np.zeros(len(first))
    np.divide(n_common, norms, out=cosines, where=norms > 0)
    return 1 - cosines


def _rater_bits(items: Int64Array, matrix: InteractionMatrix, start: int, stop: int) -> BitRows:
    """Return one bit for each item and each user in [start, stop), set if the user rated the item.

    Shape (len(items), n_words); each word holds 64 users.
    """
    ratings = slice(matrix.indptr[start], matrix.indptr[stop])
    users = np.repeat(np.arange(stop - start), np.diff(matrix.indptr[start : stop + 1]))
    row_by_item = np.full(matrix.n_items, -1)  # -1: not among `items`
    row_by_item[items] = np.arange(len(items))
    rows = row_by_item[matrix.items[ratings]]
    width = (stop - start + 63) // 64 * 64  # rounded up to whole words
    packed = np.empty((len(items), width // 8), dtype=np.uint8)
    for first in range(0, len(items), ITEMS_PER_BLOCK):
        last = min(first + ITEMS_PER_BLOCK, len(items))
        in_block = (rows >= first) & (rows < last)
        is_rated = np.zeros((last - first, width), dtype=np.bool_)
        is_rated[rows[in_block] - first, users[in_block]] = True
        packed[first:last] = np.packbits(is_rated, axis=1)
    return packed.view(np.uint64)


def _list_counts(lists: Int32Array, n_items: int, n: int, metric: str) -> Int64Array:
    """Count the lists that each item occurs in, shape (n_items,)."""
    items = _first_positions(lists, n, metric, n_items)
    return np.bincount(items[items != PADDING], minlength=n_items)


def _first_positions(lists: Int32Array, n: int, metric: str, n_items: int | None = None) -> Int32Array:
    """Return the first n positions of each list, after checking them for duplicate and unknown items."""
    check_list_length(lists.shape[1], n, metric)
    items = lists[:, :n]
    has_duplicates = has_duplicate_items(items)
    if has_duplicates.any():
        raise DataError(f"the list in row {has_duplicates.argmax()} contains an item twice")
    if n_items is not None and items.max(initial=PADDING) >= n_items:
        raise DataError(f"the lists contain item {items.max()}, but training has only {n_items} items")
    return items


def _list_means(items: Int32Array, values: Float64Array | Int64Array) -> Float64Array:
    """Return the mean value of the items of each list, shape (n_users,); NaN for an empty list."""
    is_item = items != PADDING
    sums = np.where(is_item, values[items], 0).sum(axis=1)  # values[PADDING] is the last value: masked out
    means = np.full(len(items), np.nan)
    np.divide(sums, is_item.sum(axis=1), out=means, where=is_item.any(axis=1))
    return means


def _mean(values: Float64Array) -> float:
    """Return the mean of the finite values, or NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else float("nan")
