"""Runner of scikit-surprise's test suite: substitution of algorithms, deviations, and exit code."""

import json
from pathlib import Path

import pytest

from benchmarks import surprise_suite
from benchmarks.surprise_suite import (
    DIVERGENCE,
    ROUNDING,
    OutcomesByTest,
    TestOutcome,
    deviation_reason,
    find_deviations,
    format_summary,
    main,
    run_both,
)

pytestmark = pytest.mark.slow

SMALL_SUITE = """
from surprise import SVD, Dataset, Reader, accuracy

ours = SVD.__module__.startswith("marquee")

def test_same():
    assert SVD(n_factors=3).n_factors == 3

def test_broken():
    assert False

def test_rounding():
    assert 0.5 + (1e-15 if ours else 0) == 0.5

def test_defect():
    assert 0.5 + (1e-9 if ours else 0) == 0.5
"""
DIVERGING_SUITE = """
import pandas
from surprise import SVD, Dataset, Reader

def test_SVD_parameters():
    rows = pandas.DataFrame({"user": [0, 0, 1, 1], "item": [0, 1, 0, 1], "rating": [1, 5, 5, 1]})
    SVD(lr_all=500, n_epochs=50).fit(Dataset.load_from_df(rows, Reader()).build_full_trainset())
"""
DEFECT = "test_small.py::test_defect"
OutcomePair = tuple[OutcomesByTest, OutcomesByTest]  # with Surprise's algorithms, with Marquee's


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a test suite: one test passes, one fails, and three deviate with Marquee's algorithms."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "conftest.py").touch()
    (folder / "test_small.py").write_text(SMALL_SUITE, encoding="utf-8")
    (folder / "test_SVD.py").write_text(DIVERGING_SUITE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def outcome_pair(suite: Path) -> OutcomePair:
    """Outcomes of the suite with Surprise's algorithms and with Marquee's."""
    before = sorted(suite.rglob("*"))
    outcome_pair = run_both(suite)
    assert sorted(suite.rglob("*")) == before, "run_both must not change the folder"
    return outcome_pair


def test_only_tests_that_surprise_passes_are_deviations(outcome_pair: OutcomePair) -> None:
    surprise, marquee = outcome_pair
    assert len(surprise) == len(marquee) == 5
    assert [test for test, outcome in surprise.items() if not outcome.passed] == [
        "test_small.py::test_broken"
    ]
    reasons = {
        test: deviation_reason(test, outcome) for test, outcome in find_deviations(*outcome_pair).items()
    }
    assert reasons == {
        "test_SVD.py::test_SVD_parameters": DIVERGENCE,
        "test_small.py::test_rounding": ROUNDING,
        DEFECT: None,
    }


def test_summary_counts_and_lists_deviations(outcome_pair: OutcomePair) -> None:
    lines = format_summary(*outcome_pair).splitlines()
    assert lines[:2] == [
        "Surprise's algorithms: 4 of 5 tests pass",
        "Marquee's algorithms: 1 of 5 tests pass",
    ]
    assert lines[lines.index(DEFECT) + 2] == "  DEFECT"
    assert f"  {ROUNDING}" in lines


def test_exit_code_is_one_only_if_there_is_a_defect(
    suite: Path, outcome_pair: OutcomePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    surprise, marquee = outcome_pair
    monkeypatch.setattr(surprise_suite, "run_both", lambda *_: (surprise, marquee))
    assert main(["--tests", str(suite)]) == 1
    without_defect = {**marquee, DEFECT: TestOutcome(passed=True)}
    monkeypatch.setattr(surprise_suite, "run_both", lambda *_: (surprise, without_defect))
    assert main(["--tests", str(suite)]) == 0


def test_json_row_counts_passed_tests(
    suite: Path, outcome_pair: OutcomePair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(surprise_suite, "run_both", lambda *_: outcome_pair)
    main(["--tests", str(suite), "--json", str(tmp_path / "rows.json")])
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert (row["ours"], row["peer"], row["ratio"], row["n"]) == (1, 4, 0.25, 5)


def test_test_that_did_not_run_is_a_defect() -> None:
    ((test, outcome),) = find_deviations({"a": TestOutcome(passed=True)}, {}).items()
    assert deviation_reason(test, outcome) is None
    assert outcome.message == "not run"


def test_folder_without_conftest_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--tests", str(tmp_path)])
    assert "conftest.py not found" in capsys.readouterr().err
