"""Tables that compare Marquee with other libraries: values, targets, Markdown, figure, and the command."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.fold_tables import generate_toy_ratings
from benchmarks.markdown import format_markdown_table
from benchmarks.table.__main__ import main
from benchmarks.table.compared_algorithms import TWINS, select_twins
from benchmarks.table.comparisons import (
    SURPRISE,
    Comparison,
    Measure,
    Target,
    TargetStatus,
    max_value,
    min_ratio,
    read_comparisons,
    write_comparisons,
)
from benchmarks.table.paired_runs import RunSeries
from benchmarks.table.result_tables import format_document, format_speedup_at_equal_accuracy
from benchmarks.table.speedup_figure import draw_speedups

MISSED, REACHED, STRETCH = TargetStatus.MISSED, TargetStatus.REACHED, TargetStatus.STRETCH


def make_comparisons(
    subject: str, rmse: float, ours: float, peer: float, library: str = SURPRISE
) -> list[Comparison]:
    """Return comparisons of an algorithm that takes `ours` seconds in Marquee, `peer` seconds elsewhere."""
    return [
        Comparison(subject, Measure.RMSE, rmse, rmse, "stars", 3, library),
        Comparison(subject, Measure.MAE, 0.7, 0.7, "stars", 3, library),
        Comparison(subject, Measure.FIT, ours / 2, peer / 2, "s", 3, library),
        Comparison(subject, Measure.PREDICT, ours / 2, peer / 2, "s", 3, library),
        Comparison(subject, Measure.END_TO_END, ours, peer, "s", 3, library, target=min_ratio(40, 100)),
        Comparison(subject, Measure.PEAK_MEMORY, 300, 900, "MB", 3, library, target=min_ratio(2)),
    ]


def make_peer_comparisons(ours: float, peer: float, rmse: float = 0.87) -> dict[Measure, Comparison]:
    """Return comparisons with Cornac's MF, by measure."""
    return {
        comparison.measure: comparison for comparison in make_comparisons("MF", rmse, ours, peer, "Cornac")
    }


@pytest.fixture
def ratings_csv(tmp_path: Path) -> Path:
    """CSV file of about 120 ratings."""
    path = tmp_path / "ratings.csv"
    generate_toy_ratings().to_csv(path, index=False)
    return path


# Comparisons


def test_ratio_is_peer_divided_by_marquee() -> None:
    assert Comparison("SVD", Measure.FIT, 2.0, 8.0, "s", 3).ratio == 4
    assert Comparison("SVD", Measure.FIT, 2.0, None, "s", 3).ratio is None


@pytest.mark.parametrize(
    ("target", "ours", "peer", "expected"),
    [
        (min_ratio(4, 8), 1.0, 3.9, MISSED),
        (min_ratio(4, 8), 1.0, 4.0, REACHED),
        (min_ratio(4, 8), 1.0, 8.0, STRETCH),
        (min_ratio(2), 1.0, 9.0, REACHED),
        (max_value(60, "s", stretch=30), 61.0, None, MISSED),
        (max_value(60, "s", stretch=30), 60.0, None, REACHED),
        (max_value(60, "s", stretch=30), 29.0, None, STRETCH),
        (max_value(1e-9, "stars"), 0.0, None, REACHED),
        (min_ratio(4), None, 4.0, None),
    ],
)
def test_target_status_follows_from_ratio_or_value(
    target: Target, ours: float | None, peer: float | None, expected: TargetStatus | None
) -> None:
    assert Comparison("SVD", Measure.FIT, ours, peer, "s", 3, target=target).target_status == expected


def test_comparisons_are_restored_from_json_rows_that_start_with_common_keys(tmp_path: Path) -> None:
    comparisons = make_comparisons("SVD", 0.87, 0.1, 10.0)
    path = tmp_path / "new" / "rows.json"
    write_comparisons(comparisons, path)
    rows = json.loads(path.read_text())
    assert read_comparisons(path) == comparisons
    assert list(rows[0])[:6] == ["what", "ours", "peer", "ratio", "unit", "n"]
    assert rows[4]["what"] == "SVD: end to end"
    assert rows[4]["ratio"] == pytest.approx(100)
    assert rows[4]["target_status"] == "stretch"


# Tables and figure


def test_markdown_cells_are_padded() -> None:
    assert format_markdown_table(["name", "s"], [["SVD++", "1.5"], ["NMF", "10"]]) == (
        "| name  |   s |\n"
        "| :---- | --: |\n"
        "| SVD++ | 1.5 |\n"
        "| NMF   |  10 |"
    )  # fmt: skip


def test_table_shows_both_values_and_target_status() -> None:
    lines = format_document(
        make_comparisons("SVD", 0.87, 0.1, 10.0) + make_comparisons("NMF", 0.91, 1.0, 10.0)
    ).splitlines()
    svd, nmf = (next(line for line in lines if line.startswith(f"| {name}")) for name in ("SVD", "NMF"))
    for cell in ("0.8700/0.8700", "0.050/5.00", "0.10/10.0", "100x", "40x, 100x ✓✓", "300/900 ✓"):
        assert cell in svd
    assert "40x, 100x ✗" in nmf
    assert len({len(line) for line in lines if line.startswith("|")}) == 1


def test_failed_measurement_is_listed_below_the_tables() -> None:
    note = "Marquee: ImportError: no numba"
    failed = Comparison("SVD", Measure.FIT, None, None, "s", 0, note=note)
    text = format_document([*make_comparisons("SVD", 0.87, 0.1, 10.0), failed])
    assert f"- SVD: {note}" in text


def test_warning_states_the_longest_wait_for_a_core() -> None:
    comparisons = make_comparisons("SVD", 0.87, 0.1, 10.0)
    short, long = (Comparison("SVD", Measure.WAITING, 3.0, percent, "%", 3) for percent in (8.0, 42.0))
    assert "other work" not in format_document([*comparisons, short])
    assert "up to 42 % of its time" in format_document([*comparisons, long])


@pytest.mark.parametrize(
    ("ours", "peer", "expected"),
    [
        ((0.870, 1.0), (0.870, 2.0), "2.00x"),
        ((0.8705, 1.0), (0.870, 2.0), "2.00x"),  # a difference below 0.001 counts as equal accuracy
        ((0.870, 2.0), (0.870, 1.0), "0.50x"),
        ((0.870, 2.0), (0.900, 1.0), "0.50x (other RMSE 0.0300 higher)"),
        ((0.880, 1.0), (0.870, 2.0), "with SVD++: 0.8600 in 0.50 s"),
        ((0.880, 0.1), (0.850, 0.2), "none: other is more accurate"),
    ],
)
def test_speedup_is_that_of_a_model_at_least_as_accurate(
    ours: tuple[float, float], peer: tuple[float, float], expected: str
) -> None:
    comparisons = make_peer_comparisons(ours[1], peer[1])
    comparisons[Measure.RMSE] = replace(comparisons[Measure.RMSE], ours=ours[0], peer=peer[0])
    twins = make_comparisons("SVD++", 0.86, 0.5, 50.0)
    assert format_speedup_at_equal_accuracy(twins, comparisons) == expected


def test_slower_fit_is_reported_with_the_speedup() -> None:
    comparisons = make_peer_comparisons(1.0, 2.0)
    comparisons[Measure.FIT] = Comparison("MF", Measure.FIT, 1.0, 0.5, "s", 3, "Cornac")
    assert format_speedup_at_equal_accuracy([], comparisons) == "2.00x (fit alone 0.50x)"


def test_figure_has_two_bars_per_algorithm_and_the_largest_speedup_on_top() -> None:
    comparisons = make_comparisons("NMF", 0.91, 1.0, 10.0) + make_comparisons("SVD", 0.87, 0.1, 10.0)
    axes = draw_speedups(comparisons, "MovieLens 1M").axes[0]
    assert len(axes.patches) == 4
    assert [label.get_text() for label in axes.get_yticklabels()] == ["NMF", "SVD"]


# Runs and command


def test_run_of_more_than_a_minute_is_not_repeated() -> None:
    series = RunSeries()
    series.results = [{"runs": [{"end_to_end": 59.0}]}]
    assert series.can_repeat
    series.results.append({"runs": [{"end_to_end": 61.0}]})
    assert not series.can_repeat


def test_quick_option_shortens_only_svdpp() -> None:
    twins = select_twins(quick=True)
    assert twins[0].title == "SVD++, 2 epochs"
    assert twins[0].parameters["n_epochs"] == 2
    assert tuple(twins[1:]) == TWINS[1:]


@pytest.mark.slow
def test_command_measures_writes_and_draws_one_algorithm(
    ratings_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_path, figure_path = tmp_path / "rows.json", tmp_path / "table.png"
    outputs = ["--json", str(json_path), "--figure", str(figure_path)]
    assert main(["--data", str(ratings_csv), "--algorithm", "Baseline", "--quick", *outputs]) == 0
    comparisons = {comparison.measure: comparison for comparison in read_comparisons(json_path)}
    rmse, memory = comparisons[Measure.RMSE], comparisons[Measure.PEAK_MEMORY]
    assert rmse.ours == pytest.approx(rmse.peer, abs=1e-9)
    assert comparisons[Measure.RMSE_DIFFERENCE].target_status == REACHED
    assert comparisons[Measure.END_TO_END].unit == "s"
    assert memory.ours is not None
    assert 30 < memory.ours < 3000
    assert figure_path.read_bytes().startswith(b"\x89PNG")
    output = capsys.readouterr().out
    assert "| Baseline " in output
    assert main(["--redraw", str(json_path)]) == 0
    tables = output[output.index("| Marquee /") :].splitlines()
    assert capsys.readouterr().out.splitlines()[2:] == tables


def test_missing_peer_environment_is_reported_in_one_line(
    ratings_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(ratings_csv), "--peers", "--peers-python", "no/such/python"]) == 2
    captured = capsys.readouterr()
    assert captured.err == (
        "no/such/python not found; run `make .venv-peers`, or choose an environment with --peers-python\n"
    )
    assert captured.out == ""


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--data", "no/such.csv"], 1, "no/such.csv not found"),
        (["--redraw", "no/such.json"], 2, "no/such.json not found"),
    ],
)
def test_missing_file_is_reported_in_one_line(
    arguments: list[str], exit_code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == exit_code
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--algorithm", "SVD+++"], ["--folds", "9"], ["--only", "nothing"]])
def test_unknown_choice_error_lists_the_valid_ones(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert "choose from" in capsys.readouterr().err
