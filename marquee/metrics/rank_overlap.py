"""Similarity of two ranked lists."""

from collections.abc import Sequence

DEFAULT_PERSISTENCE = 0.9  # the first ten positions have 86% of the weight


def rank_biased_overlap(first: Sequence[str], second: Sequence[str], p: float = DEFAULT_PERSISTENCE) -> float:
    """Return the rank-biased overlap: 1 for equal lists, 0 for disjoint ones.

    Each depth weighs p times as much as the depth above it. With X_d items in common among the first d
    positions, and s and l the lengths of the shorter and the longer list, it is

        (1 - p) / p (sum of X_d / d p^d up to l + sum of X_s (d - s) / (s d) p^d beyond s)
            + ((X_l - X_s) / l + X_s / s) p^l

    which extrapolates the agreement within the lists beyond their ends. Webber, Moffat and Zobel, "A
    similarity measure for indefinite rankings" (TOIS 28, 2010), equation 32.

    Args:
        first: item ids, best first, without repetitions.
        second: item ids, likewise; the lists may have different lengths.
        p: persistence, greater than 0 and less than 1; a larger p gives more weight to lower positions.

    Raises:
        ValueError: p is out of range.

    >>> rank_biased_overlap(["a", "b"], ["b", "a"], p=0.5)
    0.5
    """
    if not 0 < p < 1:
        raise ValueError(f"p must be greater than 0 and less than 1 (got {p})")
    short, long = sorted((first, second), key=len)
    if not short:
        return float(not long)
    common = _common_items_by_depth(short, long)
    s, x_s, x_l = len(short), common[len(short)], common[-1]
    within = sum(common[d] / d * p**d for d in range(1, len(long) + 1))
    beyond = sum(x_s * (d - s) / (s * d) * p**d for d in range(s + 1, len(long) + 1))
    return (1 - p) / p * (within + beyond) + ((x_l - x_s) / len(long) + x_s / s) * p ** len(long)


def _common_items_by_depth(short: Sequence[str], long: Sequence[str]) -> list[int]:
    """Count the items that the first d positions of both lists have in common, for d = 0, 1, ..."""
    counts = [0]
    seen: set[str] = set()
    for depth, item in enumerate(long):
        count = counts[-1]
        new_items = [item, short[depth]] if depth < len(short) else [item]
        for new_item in new_items:
            count += new_item in seen  # each list has an item once, so it was seen in the other one
            seen.add(new_item)
        counts.append(count)
    return counts
