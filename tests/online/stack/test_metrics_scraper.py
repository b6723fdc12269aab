"""Metrics scraper: rates between two scrapes, and quantiles of histograms."""

import math

import pytest

from service.stack.metrics_scraper import Scrape, histogram_quantile, stats_between_scrapes


def scrape(time: float, **requests: float) -> Scrape:
    """Return a scrape with the number of requests by status, such as `s200=5`."""
    return Scrape(time, {("marquee_requests_total", name[1:]): count for name, count in requests.items()})


@pytest.mark.parametrize(("level", "value"), [(0.25, 0.5), (0.5, 1.0), (0.75, 1.5), (1.0, 2.0)])
def test_quantile_is_interpolated_within_a_bucket(level: float, value: float) -> None:
    """Two requests took up to 1 second, two more up to 2."""
    assert histogram_quantile({"1": 2, "2": 4, "+Inf": 4}, level) == value


def test_quantile_beyond_the_last_bound_is_that_bound() -> None:
    assert histogram_quantile({"1": 1, "+Inf": 4}, 0.9) == 1.0


@pytest.mark.parametrize("counts", [{}, {"1": 0, "+Inf": 0}])
def test_quantile_of_an_empty_histogram_is_nan(counts: dict[str, float]) -> None:
    assert math.isnan(histogram_quantile(counts, 0.5))


def test_rates_are_those_between_two_scrapes() -> None:
    stats = stats_between_scrapes([scrape(10.0, s200=100.0, s500=0.0)], [scrape(12.0, s200=150.0, s500=50.0)])
    assert (stats.requests_per_s, stats.error_rate) == (50.0, 0.5)


def test_counters_of_a_restarted_replica_do_not_decrease_the_rate() -> None:
    stats = stats_between_scrapes([scrape(12.0, s200=150.0)], [scrape(14.0, s200=5.0)])
    assert stats.requests_per_s == 0.0


def test_rate_without_a_previous_scrape_is_0() -> None:
    assert stats_between_scrapes([None], [scrape(12.0, s200=150.0)]).requests_per_s == 0.0
