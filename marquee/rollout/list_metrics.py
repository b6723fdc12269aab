"""List metrics: popularity and overlap of recommended lists."""

from collections.abc import Mapping, Sequence


class ListMetricCalculator:
    """Computes the metrics of one list after another.

    Popularity is the mean, over the items of the list, of the item's share of all ratings. Overlap is the
    number of items that the list has in common with the arm's previous list, divided by the length of the
    shorter one. Its mean estimates the probability that an item of one user's list is also in another user's
    list: the lower the coverage, the higher the overlap. Unlike coverage, it needs no fixed sample size.
    """

    def __init__(self, popularity: Mapping[str, float]) -> None:
        """Start without a previous list.

        Args:
            popularity: each item's share of all ratings; empty if unknown.
        """
        self._popularity = popularity
        self._previous: dict[str, frozenset[str]] = {}  # by arm

    def measure_next_list(self, arm: str, items: Sequence[str]) -> dict[str, float]:
        """Return the metrics of the next list of an arm, without those that cannot be computed.

        An empty list has no metrics; an arm's first list has no overlap.
        """
        if not items:
            return {}
        distinct = frozenset(items)
        values: dict[str, float] = {}
        if self._popularity:
            values["popularity"] = sum(self._popularity.get(item, 0.0) for item in distinct) / len(distinct)
        if previous := self._previous.get(arm):
            values["overlap"] = len(distinct & previous) / min(len(distinct), len(previous))
        self._previous[arm] = distinct
        return values
