"""Shadow replay: repeats recorded requests on champion and challenger in this process, and compares them."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from marquee.events import Exposure
from marquee.metrics.rank_overlap import rank_biased_overlap
from service.recommendation.loaded_model import LoadedModel
from service.recommendation.recommender import RecommendationRequest, UserContext


@dataclass(frozen=True)
class ReplayStatistics:
    """Statistics of the responses of one model."""

    fallback_levels: Mapping[str, int]  # number of responses by fallback level
    coverage: float  # share of the catalog that occurs in at least one list
    p50_us: float  # latency in microseconds
    p99_us: float
    shorter_lists: int  # responses with fewer items than the recorded response


@dataclass(frozen=True)
class ShadowComparison:
    """Statistics of both models, and similarity of their lists."""

    requests: int
    overlap: float  # mean rank-biased overlap
    disjoint: float  # share of requests whose two lists have no item in common
    champion: ReplayStatistics
    challenger: ReplayStatistics


@dataclass(frozen=True)
class _ReplayedRequest:
    user: str
    n: int


@dataclass(frozen=True)
class _ReplayedResponse:
    item_ids: Sequence[str]
    fallback_level: str
    latency_us: float


def replay_and_compare(
    exposures: Iterable[Exposure], champion: LoadedModel, challenger: LoadedModel
) -> ShadowComparison:
    """Replay requests on both models and compare the responses.

    Args:
        exposures: recorded responses; those without a user id or without items are left out.
        champion: the model in production.
        challenger: the model to compare with it.

    Returns:
        Comparison of lists that have as many items as the recorded ones.
    """
    requests = [
        _ReplayedRequest(event.user, len(event.items)) for event in exposures if event.user and event.items
    ]
    responses = [[_respond(model, request) for request in requests] for model in (champion, challenger)]
    overlaps = np.array(
        [rank_biased_overlap(one.item_ids, other.item_ids) for one, other in zip(*responses, strict=True)]
    )
    return ShadowComparison(
        requests=len(requests),
        overlap=float(overlaps.mean()) if requests else 1.0,
        disjoint=float((overlaps == 0).mean()) if requests else 0.0,
        champion=_summarize(champion, requests, responses[0]),
        challenger=_summarize(challenger, requests, responses[1]),
    )


def _respond(model: LoadedModel, request: _ReplayedRequest) -> _ReplayedResponse:
    start = time.perf_counter()
    user = UserContext(model.fitted_model.inner_user_id(request.user))
    recommendations = model.recommender.recommend(user, RecommendationRequest(request.n))
    latency_us = 1e6 * (time.perf_counter() - start)
    return _ReplayedResponse(model.item_ids(recommendations), recommendations.fallback_level, latency_us)


def _summarize(
    model: LoadedModel, requests: Sequence[_ReplayedRequest], responses: Sequence[_ReplayedResponse]
) -> ReplayStatistics:
    latencies = np.array([response.latency_us for response in responses] or [0.0])
    recommended = {item for response in responses for item in response.item_ids}
    return ReplayStatistics(
        fallback_levels=Counter(response.fallback_level for response in responses),
        coverage=len(recommended) / len(model.fitted_model.arrays.items),
        p50_us=float(np.quantile(latencies, 0.5)),
        p99_us=float(np.quantile(latencies, 0.99)),
        shorter_lists=sum(
            len(response.item_ids) < request.n for request, response in zip(requests, responses, strict=True)
        ),
    )
