"""Scaling of SVD: generated ratings, measurement of one size, targets, and result rows."""

from dataclasses import asdict

import numpy as np
import pytest

from benchmarks.scaling import SizeCost, format_targets, generate_ratings, make_result_rows, measure_size
from marquee.interactions.columns import RATING, USER


def make_cost(n_ratings: int, epoch_ns: float, work_mb: float) -> SizeCost:
    return SizeCost(n_ratings, 10, 10, 1.0, epoch_ns, 1.0, 100.0, 100.0 + work_mb)


def test_generated_ratings_have_the_requested_size_and_scale() -> None:
    ratings = generate_ratings(20_000)
    assert len(ratings) == 20_000
    assert set(ratings[RATING].unique()) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    assert ratings[USER].max() < 138
    assert np.array_equal(ratings, generate_ratings(20_000))


@pytest.mark.slow
def test_size_is_measured_in_its_own_process() -> None:
    cost = measure_size(5_000)
    assert cost.n_ratings == 5_000
    assert cost.epoch_ns > 0
    assert cost.peak_mb >= cost.start_mb > 0


def test_targets_are_marked_as_reached_or_missed() -> None:
    reached = format_targets([make_cost(10**6, 100, 50), make_cost(2 * 10**6, 140, 100)])
    missed = format_targets([make_cost(10**6, 100, 50), make_cost(2 * 10**6, 160, 130)])
    assert reached == [
        "The time per rating and epoch at 2 million ratings is 1.40 times that at 1 million; target ≤ 1.5 ✓",
        "The memory per rating at 2 million ratings is 1.00 times that at 1 million; "
        "linear growth is ≤ 1.1 ✓",
    ]
    assert [line[-1] for line in missed] == ["✗", "✗"]


def test_rows_compare_each_size_with_the_smallest() -> None:
    rows = [asdict(row) for row in make_result_rows([make_cost(10**6, 50, 50), make_cost(2 * 10**6, 25, 50)])]
    for row in rows:
        assert list(row)[:6] == ["what", "ours", "peer", "ratio", "unit", "n"]
    assert rows[0]["ratio"] == 1
    assert rows[5]["what"] == "SVD, 2 million ratings: time per rating and epoch"
    assert rows[5]["ratio"] == 2
