"""List evaluation: metrics of the evaluated users' lists, a sample first, and ties without information."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.protocol.constant_scorer import compare_with_random_lists
from experiments.evaluation.list_evaluation import GRADED_NDCG, ListEvaluator, find_evaluated_users
from experiments.evaluation.parts import Part
from experiments.evaluation.protocol import EvaluationProtocol
from marquee.algorithms.base import UNKNOWN, Algorithm
from marquee.algorithms.registry import find_algorithm
from marquee.algorithms.threads import limit_threads
from marquee.algorithms.top_n_retrieval import recommend_from_algorithm
from marquee.array_types import Int32Array
from marquee.errors import DataError, DivergedError
from marquee.metrics.beyond_accuracy import coverage, diversity, gini
from marquee.metrics.ranking import RelevantItems, find_hits, ndcg, recall
from marquee.metrics.rated_items import rated_ndcg
from tests.support.part_files import write_part_files

PROTOCOL = EvaluationProtocol(5, 4.0)


@pytest.fixture(scope="module")
def part(ratings: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Part:
    return write_part_files(ratings, tmp_path_factory.mktemp("parts")).load()[0]


def fit(part: Part, name: str = "svd", **parameters: Any) -> Algorithm:
    return find_algorithm(name).create(parameters, 1).fit(part.train)


def find_relevant(part: Part) -> RelevantItems:
    pairs = part.held_out
    relevant = pairs.actual >= PROTOCOL.relevance_threshold
    return RelevantItems.from_pairs(pairs.users[relevant], pairs.items[relevant], part.train.n_users)


def test_metrics_are_those_of_the_lists_of_users_with_a_relevant_item(part: Part) -> None:
    algorithm = fit(part)
    scores = ListEvaluator(part, PROTOCOL).evaluate(algorithm)
    lists, _ = recommend_from_algorithm(algorithm, part.train.indptr, part.train.items, 5)
    hits = find_hits(lists, find_relevant(part))
    assert scores.n_users == len(hits.users)
    assert scores.metrics["ndcg"] == pytest.approx(ndcg(hits, 5).mean())
    assert scores.metrics["recall"] == pytest.approx(recall(hits, 5).mean())
    assert scores.metrics["coverage"] == coverage(lists[hits.users], part.train.n_items, 5)
    assert scores.metrics["gini"] == pytest.approx(gini(lists[hits.users], part.train.n_items, 5))
    assert "diversity" not in scores.metrics


def test_rated_items_are_the_held_out_items_of_evaluated_users(part: Part) -> None:
    algorithm = fit(part)
    evaluator, pairs = ListEvaluator(part, PROTOCOL), part.held_out
    evaluated = np.isin(pairs.users, find_evaluated(part))
    scores = algorithm.score_pairs(pairs.users[evaluated], pairs.items[evaluated])
    _, values = rated_ndcg(pairs.users[evaluated], scores, pairs.actual[evaluated] >= 4.0, 5)
    assert evaluator.evaluate_rated_items(algorithm) == pytest.approx(values.mean())
    implicit = ListEvaluator(part, EvaluationProtocol(5, 4.0, is_graded=True))
    assert np.isnan(implicit.evaluate_rated_items(algorithm))


def find_evaluated(part: Part) -> Int32Array:
    pairs = part.held_out
    return np.unique(pairs.users[(pairs.actual >= PROTOCOL.relevance_threshold) & (pairs.users != UNKNOWN)])


def test_user_values_are_in_the_order_of_user_numbers(part: Part) -> None:
    algorithm, evaluator = fit(part), ListEvaluator(part, PROTOCOL)
    values = evaluator.evaluate(algorithm).user_values["ndcg"]
    lists, _ = recommend_from_algorithm(algorithm, part.train.indptr, part.train.items, 5)
    hits = find_hits(lists, find_relevant(part))
    expected = dict(zip(part.user_numbers[hits.users].tolist(), ndcg(hits, 5), strict=True))
    assert evaluator.users.tolist() == sorted(expected)
    assert values.dtype == np.float32
    assert values.tolist() == [np.float32(expected[user]) for user in sorted(expected)]


def test_diversity_is_computed_on_request(part: Part) -> None:
    algorithm = fit(part)
    scores = ListEvaluator(part, PROTOCOL, costly_metrics=("diversity",)).evaluate(algorithm)
    evaluated = np.flatnonzero(find_relevant(part).counts).astype(np.int32)
    lists, _ = recommend_from_algorithm(algorithm, *part.seen, 5, users=evaluated)
    assert scores.metrics["diversity"] == pytest.approx(diversity(lists, part.train, 5))


def test_sample_has_a_quarter_of_the_users_and_their_values_of_the_whole(part: Part) -> None:
    algorithm, evaluator = fit(part), ListEvaluator(part, PROTOCOL)
    sample, whole = evaluator.evaluate(algorithm, lambda _: True), evaluator.evaluate(algorithm)
    assert sample.n_users == evaluator.n_sampled == -(-whole.n_users // 4)
    values, all_values = sample.user_values["ndcg"], whole.user_values["ndcg"]
    is_sampled = ~np.isnan(values)
    assert is_sampled.sum() == sample.n_users
    assert values[is_sampled].tolist() == all_values[is_sampled].tolist()
    assert not np.isnan(all_values).any()


def test_evaluation_goes_on_after_the_sample_unless_it_should_stop(part: Part) -> None:
    evaluator, samples = ListEvaluator(part, PROTOCOL), []

    def keep(sample: Any) -> bool:
        samples.append(sample.n_users)
        return False

    assert evaluator.evaluate(fit(part), keep).n_users == len(evaluator.users)
    assert samples == [evaluator.n_sampled]


@pytest.mark.parametrize("name", ["svd", "ease", "popularity"])
def test_scores_do_not_depend_on_the_number_of_threads(part: Part, name: str) -> None:
    algorithm, evaluator = fit(part, name), ListEvaluator(part, PROTOCOL)
    scores = []
    for n_threads in (1, 2, 5):
        with limit_threads(n_threads):
            scores.append(evaluator.evaluate(algorithm))
    assert scores[0].metrics == scores[1].metrics == scores[2].metrics
    assert scores[0].user_values["ndcg"].tobytes() == scores[2].user_values["ndcg"].tobytes()


def test_at_most_max_users_are_evaluated_and_the_same_ones_for_every_model(part: Part) -> None:
    whole, some = ListEvaluator(part, PROTOCOL), ListEvaluator(part, PROTOCOL, max_users=7)
    assert len(some.users) == 7
    assert set(some.users.tolist()) < set(whole.users.tolist())
    assert some.users.tolist() == ListEvaluator(part, PROTOCOL, max_users=7).users.tolist()
    assert some.evaluate(fit(part)).n_users == 7


def test_evaluated_users_are_found_without_building_a_part(ratings: pd.DataFrame, tmp_path: Path) -> None:
    parts = write_part_files(ratings, tmp_path).load()
    for number in range(3):
        for limit in (None, 5):
            found = find_evaluated_users(parts, number, PROTOCOL, limit)
            assert found.tolist() == ListEvaluator(parts[number], PROTOCOL, limit).users.tolist()


def test_model_with_scores_that_are_not_finite_fails(part: Part) -> None:
    algorithm: Any = fit(part)
    algorithm.qi[:, 0] = np.inf
    with np.errstate(all="ignore"), pytest.raises(DivergedError, match="scores must be finite"):
        ListEvaluator(part, PROTOCOL).evaluate(algorithm)


def test_part_without_a_relevant_item_is_an_error(part: Part) -> None:
    with pytest.raises(DataError, match=r"lower measure\.relevance_threshold \(now 5\.5\)"):
        ListEvaluator(part, EvaluationProtocol(5, 5.5))


# Implicit feedback


def test_graded_ndcg_is_reported_for_weights_only(part: Part, ratings: pd.DataFrame, tmp_path: Path) -> None:
    assert GRADED_NDCG not in ListEvaluator(part, PROTOCOL).evaluate(fit(part)).metrics
    plays = ratings.rename(columns={"rating": "weight"})
    weighted = write_part_files(plays, tmp_path).load()[0]
    evaluator = ListEvaluator(weighted, EvaluationProtocol(5, 0.0, is_graded=True))
    scores = evaluator.evaluate(fit(weighted, "popularity"))
    assert len(evaluator.users) == len(np.unique(weighted.held_out.users[weighted.held_out.users != UNKNOWN]))
    assert 0 < scores.metrics[GRADED_NDCG] < 1
    assert scores.metrics[GRADED_NDCG] != scores.metrics["ndcg"]


# Ties


def test_constant_scorer_gives_the_lists_of_a_random_one(tmp_path: Path) -> None:
    """Popular items appear early, so lists in the order of first appearance would have many hits."""
    rng = np.random.default_rng(0)
    items = np.minimum(rng.zipf(1.3, 60_000), 500)
    rows = pd.DataFrame({"user": rng.integers(0, 1500, 60_000).astype(str), "item": items.astype(str)})
    part = write_part_files(rows.drop_duplicates().assign(rating=np.float32(5)), tmp_path).load()[0]
    protocol = EvaluationProtocol(10, 4.0)
    ndcg_values = compare_with_random_lists(part, protocol)
    popular = ListEvaluator(part, protocol).evaluate(fit(part, "popularity")).metrics["ndcg"]
    assert abs(ndcg_values.gap) < 0.005
    assert popular > ndcg_values.random + 0.05
