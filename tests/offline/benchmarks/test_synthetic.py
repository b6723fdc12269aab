"""The benchmark of synthetic ratings compares offline metrics with the truth of lists."""

import numpy as np
import pytest

from benchmarks.synthetic.list_quality import LIST_LENGTH, THRESHOLD, ListTask, measure_list_quality
from benchmarks.synthetic.list_truth import (
    CHOSEN_AND_LIKED,
    OWN_CHOICES,
    STARS,
    TRUTHS,
    ListTruth,
)
from benchmarks.synthetic.rank_agreement import (
    NDCG,
    NEGATIVE_RMSE,
    ModelScores,
    kendall_tau,
    measure_models,
    rank_held_out,
    select_leading,
)
from benchmarks.synthetic.statistic_row import format_row, summarize
from marquee.algorithms.ease import EASE
from marquee.synthetic import SyntheticDataset, SyntheticSpec, generate_dataset


@pytest.fixture(scope="module")
def data() -> SyntheticDataset:
    return generate_dataset(SyntheticSpec(n_ratings=6000), seed=4)


@pytest.fixture(scope="module")
def task(data: SyntheticDataset) -> ListTask:
    return ListTask.from_ratings(data.ratings, seed=4)


@pytest.fixture(scope="module")
def truth(data: SyntheticDataset, task: ListTask) -> ListTruth:
    return ListTruth.from_ground_truth(data.truth, task.matrix)


def test_items_rated_in_training_cannot_be_chosen(task: ListTask, truth: ListTruth) -> None:
    users = np.repeat(np.arange(task.matrix.n_users), np.diff(task.matrix.indptr))
    for name in TRUTHS:
        has_value = truth.values[name][users, task.matrix.items] > 0
        assert has_value.all() if name == STARS else not has_value.any()


def test_values_of_own_choices_add_up_to_the_length_of_a_list(truth: ListTruth) -> None:
    assert truth.values[OWN_CHOICES].sum(axis=1) == pytest.approx(LIST_LENGTH)


def test_value_of_a_list_is_the_sum_of_its_items(task: ListTask, truth: ListTruth) -> None:
    lists = np.tile(np.arange(LIST_LENGTH, dtype=np.int32), (task.matrix.n_users, 1))
    for name, value in truth.value_lists(lists).items():
        assert value == pytest.approx(truth.values[name][:, :LIST_LENGTH].sum(axis=1).mean())


def test_true_stars_of_a_list_are_the_mean_of_its_items(
    data: SyntheticDataset, task: ListTask, truth: ListTruth
) -> None:
    expected = data.truth.expected_ratings(task.matrix.user_ids[0], np.array(task.matrix.item_ids))
    assert truth.values[STARS][0] * LIST_LENGTH == pytest.approx(np.clip(expected, 1, 5))


def test_items_are_liked_less_often_than_chosen(truth: ListTruth) -> None:
    best = np.argsort(-truth.values[CHOSEN_AND_LIKED], axis=1)[:, :LIST_LENGTH].astype(np.int32)
    value = truth.value_lists(best)[CHOSEN_AND_LIKED]
    assert 0 < value < LIST_LENGTH


def test_held_out_items_are_ranked_by_score(task: ListTask) -> None:
    algorithm = EASE(reg=100, threshold=THRESHOLD).fit(task.matrix)
    lists = rank_held_out(algorithm, task)
    scores = algorithm.score_all_items(np.arange(task.matrix.n_users))
    for user in range(0, task.matrix.n_users, 10):
        held_out = task.held_out.items[(task.held_out.users == user) & (task.held_out.items >= 0)]
        listed = lists[user][lists[user] >= 0]
        assert len(listed) == min(LIST_LENGTH, len(held_out))
        assert set(listed) <= set(held_out)
        best = np.sort(scores[user, held_out])[::-1][:LIST_LENGTH]
        assert scores[user, listed].tolist() == best.tolist()


def test_tau_counts_only_models_that_have_the_metric() -> None:
    def scores(offline: dict[str, float], stars: float) -> ModelScores:
        return ModelScores(offline, {STARS: stars})

    models = [
        scores({NDCG: 0.1, NEGATIVE_RMSE: -0.9}, 3.0),
        scores({NDCG: 0.2, NEGATIVE_RMSE: -1.0}, 4.0),
        scores({NDCG: 0.3}, 5.0),
    ]
    assert kendall_tau(models, NDCG, STARS) == pytest.approx(1)
    assert kendall_tau(models, NEGATIVE_RMSE, STARS) == pytest.approx(-1)


def test_leading_models_have_at_least_half_of_the_best_ndcg() -> None:
    models = [ModelScores({NDCG: ndcg}, {}) for ndcg in (0.1, 0.2, 0.4, 0.3)]
    assert [each.offline[NDCG] for each in select_leading(models)] == [0.2, 0.4, 0.3]


def test_list_quality_is_relative_to_popularity(data: SyntheticDataset) -> None:
    quality = measure_list_quality(data.ratings, seed=1)
    names = ("EASE", "Bayesian MF", "SVD", "SVD++", "BaselineOnly", "ImplicitALS", "ImplicitBPR")
    assert quality.keys() == {
        "NDCG@10 of popularity",
        *(f"NDCG@10 of {name} / popularity" for name in names),
    }
    assert 0 < quality["NDCG@10 of popularity"] < 1


def test_row_has_mean_spread_and_ratio_to_real_data() -> None:
    row = summarize("share", [0.2, 0.4], n=100, peer=0.6)
    assert (row.ours, row.spread, row.ratio) == pytest.approx((0.3, 0.1, 0.5))
    assert format_row(row).split() == ["100", "share", "0.3000", "±", "0.1000", "0.6000", "1"]


@pytest.mark.slow
def test_ndcg_orders_models_by_what_users_choose_and_like() -> None:
    scores = list(measure_models(40_000, seed=1).values())
    assert kendall_tau(scores, NDCG, CHOSEN_AND_LIKED) >= 0.7
    assert kendall_tau(scores, NEGATIVE_RMSE, CHOSEN_AND_LIKED) < 0.7
