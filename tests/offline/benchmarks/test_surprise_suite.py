"""The runner of scikit-surprise's tests: what it substitutes, what it calls a defect, and its exit code."""

from pathlib import Path

import pytest

from benchmarks import surprise_suite
from benchmarks.surprise_suite import (
    DIVERGENCE,
    ROUNDING,
    Outcome,
    deviations,
    intent,
    main,
    run_both,
    summarize,
)

TESTS = """
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
DIVERGING = """
import pandas
from surprise import SVD, Dataset, Reader

def test_SVD_parameters():
    rows = pandas.DataFrame({"user": [0, 0, 1, 1], "item": [0, 1, 0, 1], "rating": [1, 5, 5, 1]})
    SVD(lr_all=500, n_epochs=50).fit(Dataset.load_from_df(rows, Reader()).build_full_trainset())
"""
DEFECT = "test_small.py::test_defect"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    (folder / "conftest.py").touch()
    (folder / "test_small.py").write_text(TESTS, encoding="utf-8")
    (folder / "test_SVD.py").write_text(DIVERGING, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def outcomes(suite: Path) -> tuple[surprise_suite.Outcomes, surprise_suite.Outcomes]:
    before = sorted(suite.rglob("*"))
    sides = run_both(suite)
    assert sorted(suite.rglob("*")) == before, "the folder is left as it was"
    return sides


def test_only_what_surprise_passes_is_a_deviation(
    outcomes: tuple[surprise_suite.Outcomes, surprise_suite.Outcomes],
) -> None:
    surprise, marquee = outcomes
    assert len(surprise) == len(marquee) == 5
    assert [test for test, one in surprise.items() if not one.passed] == ["test_small.py::test_broken"]
    assert {test: intent(test, one) for test, one in deviations(surprise, marquee).items()} == {
        "test_SVD.py::test_SVD_parameters": DIVERGENCE,
        "test_small.py::test_rounding": ROUNDING,
        DEFECT: None,
    }


def test_the_summary_counts_and_names_the_deviations(
    outcomes: tuple[surprise_suite.Outcomes, surprise_suite.Outcomes],
) -> None:
    lines = summarize(*outcomes).splitlines()
    assert lines[:2] == [
        "Surprise's algorithms: 4 of 5 tests pass",
        "Marquee's algorithms: 1 of 5 tests pass",
    ]
    assert lines[lines.index(DEFECT) + 2] == "  DEFECT"
    assert f"  {ROUNDING}" in lines


def test_only_a_defect_makes_the_command_fail(
    suite: Path,
    outcomes: tuple[surprise_suite.Outcomes, surprise_suite.Outcomes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    surprise, marquee = outcomes
    monkeypatch.setattr(surprise_suite, "run_both", lambda _: (surprise, marquee))
    assert main(["--tests", str(suite)]) == 1
    mended = {**marquee, DEFECT: Outcome(passed=True)}
    monkeypatch.setattr(surprise_suite, "run_both", lambda _: (surprise, mended))
    assert main(["--tests", str(suite)]) == 0


def test_a_test_that_did_not_run_is_a_defect() -> None:
    ((test, outcome),) = deviations({"a": Outcome(passed=True)}, {}).items()
    assert intent(test, outcome) is None
    assert outcome.message == "not run"


def test_a_folder_without_the_fixtures_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--tests", str(tmp_path)])
    assert "conftest.py not found" in capsys.readouterr().err
