"""A challenger in the champion's shadow: both answer recorded requests, and nobody sees the second answer."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marquee.events import Exposure
from marquee.metrics.rank_overlap import rank_biased_overlap
from service.recommendation.loaded_model import Served
from service.recommendation.recommender import Person, Wish


@dataclass(frozen=True)
class Shadow:
    """What one model would have answered."""

    rungs: Mapping[str, int]  # answers by rung
    coverage: float  # share of the catalogue that was in any list
    p50_us: float
    p99_us: float
    short: int  # answers with fewer items than were given then


@dataclass(frozen=True)
class Comparison:
    """Both, and how much they agree."""

    requests: int
    overlap: float  # mean rank-biased overlap of their lists
    disjoint: float  # share of requests whose lists have nothing in common
    champion: Shadow
    challenger: Shadow


def compare(exposures: Iterable[Exposure], champion: Served, challenger: Served) -> Comparison:
    """Answer the requests of known users again, each with as many items as it had."""
    asked = [(event.user, len(event.items)) for event in exposures if event.user and event.items]
    lists = [[_answered(each, user, n) for user, n in asked] for each in (champion, challenger)]
    pairs = zip(*([ids for ids, _, _ in each] for each in lists), strict=True)
    overlaps = np.array([rank_biased_overlap(one, other) for one, other in pairs])
    shadows = [
        _shadow(each, answers, asked) for each, answers in zip((champion, challenger), lists, strict=True)
    ]
    mean, none = (float(overlaps.mean()), float((overlaps == 0).mean())) if asked else (1.0, 0.0)
    return Comparison(len(asked), mean, none, *shadows)


def _answered(served: Served, user: str, n: int) -> tuple[list[str], str, float]:
    """Item ids, rung, microseconds."""
    began = time.perf_counter()
    answer = served.recommender.recommend(Person(served.model.user_number(user)), Wish(n))
    took = 1e6 * (time.perf_counter() - began)
    return served.ids(answer), answer.rung, took


def _shadow(
    served: Served, answers: Sequence[tuple[list[str], str, float]], asked: Sequence[tuple[str, int]]
) -> Shadow:
    times = np.array([took for _, _, took in answers] or [0.0])
    shown = {item for ids, _, _ in answers for item in ids}
    short = sum(len(ids) < n for (ids, _, _), (_, n) in zip(answers, asked, strict=True))
    return Shadow(
        rungs=Counter(rung for _, rung, _ in answers),
        coverage=len(shown) / len(served.model.arrays.items),
        p50_us=float(np.quantile(times, 0.5)),
        p99_us=float(np.quantile(times, 0.99)),
        short=short,
    )
