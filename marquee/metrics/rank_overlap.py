"""How much two ranked lists agree."""

from collections.abc import Sequence

PERSISTENCE = 0.9  # the first ten places weigh 86%


def rank_biased_overlap(one: Sequence[str], other: Sequence[str], p: float = PERSISTENCE) -> float:
    """Overlap at every depth, a depth weighing p of the one above it; 1 of the same list, 0 of disjoint ones.

    With X_d items in common among the first d places, s and l the lengths of the shorter and the longer list,

        (1 - p) / p (sum of X_d / d p^d up to l + sum of X_s (d - s) / (s d) p^d beyond s)
            + ((X_l - X_s) / l + X_s / s) p^l

    which goes on beyond the lists as they agree within them. Source: Webber, Moffat and Zobel, "A similarity
    measure for indefinite rankings" (TOIS 28, 2010), equation 32.

    Args:
        one: item ids, best first, each once.
        other: item ids too; it may be longer or shorter.
        p: how far down a reader goes, above 0 and below 1.
    """
    if not 0 < p < 1:
        raise ValueError(f"p is {p}: it takes a number between 0 and 1")
    short, long = sorted((one, other), key=len)
    if not short:
        return float(not long)
    common = [0]  # by depth
    seen: set[str] = set()
    for depth, item in enumerate(long):
        fresh = [item, short[depth]] if depth < len(short) else [item]
        more = 0
        for each in fresh:
            more += each in seen
            seen.add(each)
        common.append(common[-1] + more)
    s, x_s, x_l = len(short), common[len(short)], common[-1]
    within = sum(common[d] / d * p**d for d in range(1, len(long) + 1))
    beyond = sum(x_s * (d - s) / (s * d) * p**d for d in range(s + 1, len(long) + 1))
    return (1 - p) / p * (within + beyond) + ((x_l - x_s) / len(long) + x_s / s) * p ** len(long)
