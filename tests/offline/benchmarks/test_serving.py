"""Parts of the serving benchmark that can be tested without a server."""

import pytest

from benchmarks.serving.latency_figure import ModelSizeResult, draw_latency_by_users
from benchmarks.serving.load_generator import LoadResult, build_wrk_script, draw_users, parse_wrk_output
from marquee.errors import MarqueeError

WRK_OUTPUT = """
  Latency Distribution
     50%  590.00us
     99%    2.26ms
  17412 requests in 0.90s, 15.08MB read
Requests/sec:  19346.53
"""


def test_wrk_latencies_are_parsed_as_milliseconds() -> None:
    assert parse_wrk_output(WRK_OUTPUT) == LoadResult(19346.53, 0.59, 2.26)


@pytest.mark.parametrize(
    "line", ["Non-2xx or 3xx responses: 7", "Socket errors: connect 0, read 3, write 0, timeout 0"]
)
def test_failed_requests_in_wrk_output_are_an_error(line: str) -> None:
    with pytest.raises(MarqueeError, match="requests failed"):
        parse_wrk_output(f"{WRK_OUTPUT}\n{line}")


def test_unexpected_wrk_output_is_an_error() -> None:
    with pytest.raises(MarqueeError, match="unexpected output"):
        parse_wrk_output("nothing")


def test_draws_of_users_follow_zipfs_law_and_are_reproducible() -> None:
    users = [str(number) for number in range(1000)]
    draws = draw_users(users)
    counts = sorted((draws.count(user) for user in set(draws)), reverse=True)
    assert draws == draw_users(users)
    assert 1.6 < counts[0] / counts[1] < 2.5  # the second user is drawn half as often as the first
    assert len(counts) > 900


def test_long_wrk_script_is_split_into_functions() -> None:
    script = build_wrk_script([("GET", f"/{number}", None) for number in range(12_000)])
    assert script.count("end)();") == 3
    assert "delay" not in script
    assert "delay" in build_wrk_script([("POST", "/", '{"a": 1}')], delay_ms=5)


def test_latency_axis_starts_at_zero() -> None:
    results = [ModelSizeResult(1000, 2, 0.5, 0.9, 100), ModelSizeResult(1_000_000, 3, 0.5, 1.0, 120)]
    axes = draw_latency_by_users(results).axes[0]
    assert axes.get_ylim()[0] == 0
    assert axes.get_xscale() == "log"
