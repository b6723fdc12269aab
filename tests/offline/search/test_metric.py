"""Search metric: direction, weighted sets, and how values are shown."""

from math import isnan, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.search.metric import SearchMetric

RATIO = st.floats(0.01, 1.0)


def test_higher_ndcg_and_lower_rmse_have_the_lower_loss() -> None:
    ndcg, rmse = SearchMetric.parse("ndcg"), SearchMetric.parse("rmse")
    assert ndcg.loss({"ndcg": 0.4}) < ndcg.loss({"ndcg": 0.3})
    assert rmse.loss({"rmse": 0.8}) < rmse.loss({"rmse": 0.9})
    assert SearchMetric.parse("gini").loss({"gini": 0.5}) == 0.5


def test_weighted_set_compares_ratios() -> None:
    metric = SearchMetric.parse({"ndcg": 0.7, "rmse": 0.3})
    expected = -0.7 * log(0.4) + 0.3 * log(0.9)
    assert metric.loss({"ndcg": 0.4, "rmse": 0.9, "mae": 5.0}) == pytest.approx(expected)


@given(RATIO, RATIO, RATIO, RATIO)
def test_weights_of_one_metric_twice_as_large_change_nothing(a: float, b: float, c: float, d: float) -> None:
    one, two = ({"ndcg": 0.5 * k, "coverage": 0.25 * k} for k in (1, 2))
    first, second = {"ndcg": a, "coverage": b}, {"ndcg": c, "coverage": d}
    single, double = SearchMetric.parse(one), SearchMetric.parse(two)
    assert single.loss(first) == pytest.approx(double.loss(first))
    assert (single.loss(first) < single.loss(second)) == (double.loss(first) < double.loss(second))


@pytest.mark.parametrize("values", [{}, {"ndcg": float("nan")}, {"ndcg": float("inf")}])
def test_value_that_is_missing_or_not_finite_has_no_loss(values: dict[str, float]) -> None:
    assert isnan(SearchMetric.parse("ndcg").loss(values))
    assert isnan(SearchMetric.parse({"ndcg": 1.0, "coverage": 1.0}).loss({"coverage": 0.5, **values}))


def test_value_of_zero_is_the_worst_of_a_weighted_set() -> None:
    metric = SearchMetric.parse({"ndcg": 0.5, "coverage": 0.5})
    assert metric.loss({"ndcg": 0.0, "coverage": 1.0}) > metric.loss({"ndcg": 0.001, "coverage": 0.001})


def test_only_a_single_ranking_metric_compares_users() -> None:
    names = {
        setting: SearchMetric.parse(setting).user_metric for setting in ("ndcg", "mrr", "coverage", "rmse")
    }
    assert names == {"ndcg": "ndcg", "mrr": "mrr", "coverage": None, "rmse": None}
    assert SearchMetric.parse({"ndcg": 0.7, "recall": 0.3}).user_metric is None


def test_metric_knows_what_it_is_computed_from() -> None:
    uses = {
        str(setting): (SearchMetric.parse(setting).uses_lists, SearchMetric.parse(setting).uses_errors)
        for setting in ("ndcg", "mae")
    }
    assert uses == {"ndcg": (True, False), "mae": (False, True)}
    both = SearchMetric.parse({"ndcg": 0.7, "rmse": 0.3})
    assert (both.uses_lists, both.uses_errors) == (True, True)


def test_names_are_shown_with_the_length_of_the_lists() -> None:
    assert SearchMetric.parse("ndcg").title(10) == "NDCG@10"
    weighted = SearchMetric.parse({"coverage": 0.3, "ndcg": 0.7})
    assert weighted.title(10) == "0.7 NDCG@10, 0.3 coverage"
    assert weighted.format_values({"ndcg": 0.41234, "coverage": 0.5}, 10) == "NDCG@10 0.4123, coverage 0.5000"
