"""The pieces of the serving benchmark that can be wrong without a server."""

import pytest

from benchmarks.serving.figure import Size, draw
from benchmarks.serving.load import Shot, draw_users, parse, script
from marquee.errors import MarqueeError

SAID = """
  Latency Distribution
     50%  590.00us
     99%    2.26ms
  17412 requests in 0.90s, 15.08MB read
Requests/sec:  19346.53
"""


def test_what_wrk_says_is_read_in_milliseconds() -> None:
    assert parse(SAID) == Shot(19346.53, 0.59, 2.26)


@pytest.mark.parametrize(
    "more", ["Non-2xx or 3xx responses: 7", "Socket errors: connect 0, read 3, write 0, timeout 0"]
)
def test_a_shot_with_errors_is_none(more: str) -> None:
    with pytest.raises(MarqueeError, match="refused"):
        parse(f"{SAID}\n{more}")


def test_nonsense_is_no_shot() -> None:
    with pytest.raises(MarqueeError):
        parse("nothing")


def test_users_are_drawn_by_a_long_tailed_law_and_always_the_same() -> None:
    users = [str(number) for number in range(1000)]
    drawn = draw_users(users)
    counts = sorted((drawn.count(user) for user in set(drawn)), reverse=True)
    assert drawn == draw_users(users)
    assert 1.6 < counts[0] / counts[1] < 2.5  # the second half as often as the first
    assert len(counts) > 900


def test_a_long_script_is_in_parts_that_lua_takes_for_statements() -> None:
    text = script([("GET", f"/{number}", None) for number in range(12_000)])
    assert text.count("end)();") == 3
    assert "delay" not in text
    assert "delay" in script([("POST", "/", '{"a": 1}')], delay_ms=5)


def test_the_figure_begins_at_zero_so_that_flat_looks_flat() -> None:
    axes = draw([Size(1000, 2, 0.5, 0.9, 100), Size(1_000_000, 3, 0.5, 1.0, 120)]).axes[0]
    assert axes.get_ylim()[0] == 0
    assert axes.get_xscale() == "log"
