"""The benchmarks on tiny data: what they write, what they say, and what they refuse."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import scaling
from benchmarks.folds import read_fold, source, toy, write_folds
from benchmarks.measure import Job, Laps, MeasuringFailedError, cores, memory_mb, peak_mb, run_apart
from benchmarks.table.__main__ import main
from benchmarks.table.contenders import TWINS, twins
from benchmarks.table.duels import OURS, Side
from benchmarks.table.figure import draw
from benchmarks.table.markdown import document, table, verdict
from benchmarks.table.rows import END_TO_END, FIT, PEAK, PREDICT, WAITED, Row, at_least, at_most, read, write
from marquee.errors import DataError
from marquee.interactions.matrix import ITEM, RATING, USER
from tests.test_architecture import imported_modules

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
MARQUEE = BENCHMARKS.parent / "marquee"


def rows_of(subject: str, error: float, ours: float, peer: float, library: str = "Surprise") -> list[Row]:
    return [
        Row(subject, "RMSE", error, error, "stars", 3, library),
        Row(subject, "MAE", 0.7, 0.7, "stars", 3, library),
        Row(subject, FIT, ours / 2, peer / 2, "s", 3, library),
        Row(subject, PREDICT, ours / 2, peer / 2, "s", 3, library),
        Row(subject, END_TO_END, ours, peer, "s", 3, library, target=at_least(40, 100)),
        Row(subject, PEAK, 300, 900, "MB", 3, library, target=at_least(2)),
    ]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A CSV file of 144 ratings."""
    path = tmp_path / "ratings.csv"
    toy().to_csv(path, index=False)
    return path


# Rows ------------------------------------------------------------------------------------------------


def test_a_ratio_says_how_many_times_better_ours_is() -> None:
    assert Row("SVD", FIT, 2.0, 8.0, "s", 3).ratio == 4
    assert Row("SVD", FIT, 2.0, None, "s", 3).ratio is None


@pytest.mark.parametrize(
    ("target", "ours", "peer", "expected"),
    [
        (at_least(4, 8), 1.0, 3.9, "missed"),
        (at_least(4, 8), 1.0, 4.0, "reached"),
        (at_least(4, 8), 1.0, 8.0, "stretch"),
        (at_least(2), 1.0, 9.0, "reached"),
        (at_most(60, "s", stretch=30), 61.0, None, "missed"),
        (at_most(60, "s", stretch=30), 60.0, None, "reached"),
        (at_most(60, "s", stretch=30), 29.0, None, "stretch"),
        (at_most(1e-9, "stars"), 0.0, None, "reached"),
        (at_least(4), None, 4.0, ""),
    ],
)
def test_a_target_is_missed_reached_or_surpassed(target, ours, peer, expected) -> None:  # type: ignore[no-untyped-def]
    assert Row("SVD", FIT, ours, peer, "s", 3, target=target).verdict == expected


def test_rows_come_back_from_json_as_they_were_and_carry_the_agreed_keys(tmp_path: Path) -> None:
    rows = rows_of("SVD", 0.87, 0.1, 10.0)
    write(rows, tmp_path / "new" / "rows.json")
    plain = json.loads((tmp_path / "new" / "rows.json").read_text())
    assert read(tmp_path / "new" / "rows.json") == rows
    assert list(plain[0])[:6] == ["what", "ours", "peer", "ratio", "unit", "n"]
    assert plain[4]["what"] == "SVD: end to end"
    assert plain[4]["ratio"] == pytest.approx(100)
    assert plain[4]["reached"] == "stretch"


# Markdown and figure ---------------------------------------------------------------------------------


def test_a_table_is_as_readable_as_text_as_it_is_rendered() -> None:
    assert table(["name", "s"], [["SVD++", "1.5"], ["NMF", "10"]]) == (
        "| name  |   s |\n"
        "| :---- | --: |\n"
        "| SVD++ | 1.5 |\n"
        "| NMF   |  10 |"
    )  # fmt: skip


def test_the_table_shows_both_sides_the_target_and_whether_it_was_reached() -> None:
    text = document(rows_of("SVD", 0.87, 0.1, 10.0) + rows_of("NMF", 0.91, 1.0, 10.0))
    svd, nmf = (
        next(line for line in text.splitlines() if line.startswith(f"| {name}")) for name in ("SVD", "NMF")
    )
    for cell in ("0.8700/0.8700", "0.050/5.00", "0.10/10.0", "100x", "40x, 100x ✓✓", "300/900 ✓"):
        assert cell in svd
    assert "40x, 100x ✗" in nmf
    assert len({len(line) for line in text.splitlines() if line.startswith("|")}) == 1


def test_what_could_not_be_measured_is_named_below_the_table() -> None:
    failed = Row("SVD", FIT, None, None, "s", 0, note="ours: ImportError: no numba")
    text = document([*rows_of("SVD", 0.87, 0.1, 10.0), failed])
    assert "- SVD: ours: ImportError: no numba" in text


def test_a_machine_that_was_busy_is_said_to_have_been() -> None:
    rows = rows_of("SVD", 0.87, 0.1, 10.0)
    assert "other work" not in document([*rows, Row("SVD", WAITED, 3.0, 8.0, "%", 3)])
    assert "up to 42 % of its time" in document([*rows, Row("SVD", WAITED, 3.0, 42.0, "%", 3)])


@pytest.mark.parametrize(
    ("ours", "peer", "expected"),
    [
        ((0.870, 1.0), (0.870, 2.0), "ours"),
        ((0.8705, 1.0), (0.870, 2.0), "ours"),  # the same accuracy: within 0.001
        ((0.870, 2.0), (0.870, 1.0), "the peer is faster"),
        ((0.870, 2.0), (0.900, 1.0), "the peer is faster, its RMSE 0.0300 higher"),
        ((0.880, 1.0), (0.870, 2.0), "our SVD++: 0.8600 in 0.50 s"),
        ((0.880, 0.1), (0.850, 0.2), "the peer is more accurate"),
    ],
)
def test_no_peer_is_called_beaten_that_is_not(
    ours: tuple[float, float], peer: tuple[float, float], expected: str
) -> None:
    contest = {row.measure: row for row in rows_of("MF", 0.0, ours[1], peer[1], "Cornac")}
    contest["RMSE"] = replace(contest["RMSE"], ours=ours[0], peer=peer[0])
    assert verdict(rows_of("SVD++", 0.86, 0.5, 50.0), contest) == expected


def test_a_peer_whose_fit_alone_is_faster_is_said_to_be() -> None:
    contest = {row.measure: row for row in rows_of("MF", 0.87, 1.0, 2.0, "Cornac")}
    contest[FIT] = Row("MF", FIT, 1.0, 0.5, "s", 3, "Cornac")
    assert verdict([], contest) == "ours; its fit alone is faster"


def test_the_figure_has_a_bar_for_each_side_and_the_largest_gain_on_top() -> None:
    axes = draw(rows_of("NMF", 0.91, 1.0, 10.0) + rows_of("SVD", 0.87, 0.1, 10.0), "MovieLens 1M").axes[0]
    assert len(axes.patches) == 4
    assert [label.get_text() for label in axes.get_yticklabels()] == ["NMF", "SVD"]


# Measuring -------------------------------------------------------------------------------------------


def test_laps_add_up_to_the_whole() -> None:
    laps = Laps()
    laps.lap("data")
    laps.lap("fit")
    assert laps.total()["end_to_end"] == pytest.approx(laps.seconds["data"] + laps.seconds["fit"])


def test_the_peak_of_memory_is_never_below_what_is_held() -> None:
    assert 0 < memory_mb() <= peak_mb() * 1.01


def test_a_child_that_fails_is_told_by_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(MeasuringFailedError, match="KeyError: 'nothing'"):
        run_apart(OURS, Job("nothing", str(tmp_path)))


def test_a_peer_that_takes_over_a_minute_is_not_run_again() -> None:
    side = Side()
    side.results = [{"runs": [{"end_to_end": 59.0}]}]
    assert not side.is_enough
    side.results.append({"runs": [{"end_to_end": 61.0}]})
    assert side.is_enough


def test_both_sides_of_a_fold_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_folds(toy(), tmp_path, most_tests=5)
    train, test = read_fold(str(tmp_path), 0)
    assert len(test) == 5
    assert len(train) == len(toy()) - -(-len(toy()) // 5)
    assert list(train.columns) == [USER, ITEM, RATING]


def test_a_sample_is_part_of_the_table_and_in_its_order(small: Path) -> None:
    found = source(small, 50)
    assert found.name == "50 ratings of ratings.csv"
    assert len(found.ratings) == 50
    assert len(found.ratings.merge(toy())) == 50


def test_columns_that_are_missing_are_named(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    pd.DataFrame({"user": [1], "stars": [5]}).to_csv(path, index=False)
    with pytest.raises(DataError, match="no column item, rating"):
        source(path)


def test_the_peers_side_imports_nothing_of_marquee_that_needs_more_than_numpy() -> None:
    allowed = ("arrays", "metrics", "process_memory")
    command = [sys.executable, "-c", "import sys, benchmarks.peers; print(*sys.modules)"]
    loaded = subprocess.run(
        command, cwd=MARQUEE.parent, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {name for name in loaded if name.startswith(("benchmarks.", "marquee."))} == {
        "benchmarks.measure",
        "benchmarks.peers",
        *(f"marquee.{name}" for name in allowed),
    }
    assert not {name.split(".")[0] for name in loaded} & {"experiments", "pipelines", "service"}
    for name in allowed:
        found = {imported.split(".")[0] for imported in imported_modules(MARQUEE / f"{name}.py")}
        assert found <= {*sys.stdlib_module_names, "numpy", "marquee"}


# The commands ----------------------------------------------------------------------------------------


def test_quick_shortens_svdpp_on_both_sides_and_nothing_else() -> None:
    quick = twins(quick=True)
    assert quick[0].title == "SVD++, 2 epochs"
    assert quick[0].parameters["n_epochs"] == 2
    assert tuple(quick[1:]) == TWINS[1:]


def test_one_algorithm_is_measured_written_and_drawn(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told, drawn = tmp_path / "rows.json", tmp_path / "table.png"
    arguments = [
        "--data",
        str(small),
        "--only",
        "Baseline",
        "--quick",
        "--json",
        str(told),
        "--figure",
        str(drawn),
    ]
    assert main(arguments) == 0
    rows = {row.measure: row for row in read(told)}
    assert rows["RMSE"].ours == pytest.approx(rows["RMSE"].peer, abs=1e-9)
    assert rows["difference of RMSE"].verdict == "reached"
    assert rows[END_TO_END].unit == "s"
    assert rows[PEAK].ours is not None
    assert 30 < rows[PEAK].ours < 3000
    assert drawn.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "| Baseline " in printed
    assert main(["--redraw", str(told)]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == printed[printed.index("| ours") :].splitlines()


def test_peers_that_are_not_installed_are_one_clear_line(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(small), "--peers", "--peers-python", "no/such/python"]
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.err == (
        "there is no no/such/python: run `make peers`, or name an environment with --peers-python\n"
    )
    assert told.out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--data", "no/such.csv"], 1, "there is no no/such.csv"),
        (["--redraw", "no/such.json"], 2, "there is no no/such.json"),
    ],
)
def test_a_file_that_is_not_there_is_one_clear_line(
    arguments: list[str], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    told = capsys.readouterr().err
    assert told.startswith(line)
    assert told.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--only", "SVD+++"], ["--folds", "9"], ["--part", "nothing"]])
def test_an_option_that_does_not_exist_is_refused_with_those_that_do(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert "choose from" in capsys.readouterr().err


# Scaling ---------------------------------------------------------------------------------------------


def test_planted_ratings_are_on_the_scale_and_of_the_size_asked_for() -> None:
    made = scaling.planted(20_000)
    assert len(made) == 20_000
    assert set(made[RATING].unique()) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    assert made[USER].max() < 138
    assert np.array_equal(made, scaling.planted(20_000))


def test_a_size_is_measured_in_a_process_of_its_own() -> None:
    point = scaling.point(5_000)
    assert point.n == 5_000
    assert point.nanoseconds > 0
    assert point.peak_mb >= point.before_mb > 0


def test_scaling_says_whether_time_and_memory_stay_within_bounds() -> None:
    def point(n: int, nanoseconds: float, taken: float) -> scaling.Point:
        return scaling.Point(n, 10, 10, 1.0, nanoseconds, 1.0, 100.0, 100.0 + taken)

    good = scaling.verdicts([point(10**6, 100, 50), point(2 * 10**6, 140, 100)])
    bad = scaling.verdicts([point(10**6, 100, 50), point(2 * 10**6, 160, 130)])
    assert [line[-1] for line in good] == ["✓", "✓"]
    assert [line[-1] for line in bad] == ["✗", "✗"]


def test_scaling_writes_the_agreed_keys() -> None:
    points = [scaling.Point(10**6, 10, 10, 1.0, 50.0, 1.0, 100.0, 150.0)]
    for row in scaling.rows(points):
        assert list(row) == ["what", "ours", "peer", "ratio", "unit", "n"]
    assert scaling.rows(points)[0]["ratio"] == 1


def test_the_cores_are_those_that_we_may_use() -> None:
    assert len(cores(1)) <= 1
    assert set(cores(1)) <= set(cores(2))
