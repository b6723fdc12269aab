"""NDCG of single users: columns by part and user, one row per trial, the same bytes for the same values."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from experiments.search.float_encoding import decode_floats, encode_floats
from experiments.search.trials import PartScore, Trial
from experiments.search.user_scores import UserColumns, UserScores
from marquee.array_types import Float32Array
from marquee.files.digest import sha256_of

COLUMNS = UserColumns((np.array([0, 3], np.int32), np.array([3], np.int32), np.array([1, 2], np.int32)))


def make_trial(number: int, *values: list[float]) -> Trial:
    parts = tuple(
        PartScore({"ndcg": 0.5}, len(numbers), {"ndcg": np.array(numbers, np.float32)}) for numbers in values
    )
    return Trial(number, "svd", {}, parts=parts)


def test_row_has_the_values_of_the_trial_by_part_and_user() -> None:
    trials = [make_trial(0, [0.5, 1.0], [0.25], [0.0, 0.75]), make_trial(1, [0.5, np.nan]), make_trial(2)]
    scores = UserScores.from_trials(trials, COLUMNS)
    assert scores.part.tolist() == [0, 0, 1, 2, 2]
    assert scores.user.tolist() == [0, 3, 3, 1, 2]
    assert scores.ndcg[0].tolist() == [0.5, 1.0, 0.25, 0.0, 0.75]
    assert np.isnan(scores.ndcg[1]).tolist() == [False, True, True, True, True]
    assert np.isnan(scores.ndcg[2]).all()
    dtypes = [str(array.dtype) for array in (scores.ndcg, scores.part, scores.user)]
    assert dtypes == ["float32", "int8", "int32"]


def test_saved_file_restores_the_arrays_and_has_the_same_bytes_again(tmp_path: Path) -> None:
    scores = UserScores.from_trials([make_trial(0, [0.5, 1.0], [0.25], [0.0, 0.75])], COLUMNS)
    for name in ("first.npz", "second.npz"):
        scores.save(tmp_path / name)
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()
    loaded = UserScores.load(tmp_path / "first.npz")
    for name in ("ndcg", "part", "user"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(scores, name))


def test_bytes_of_the_file_are_the_same_in_every_release_of_python(tmp_path: Path) -> None:
    """The digest is that of Python 3.11.2 and 3.11.7, whose `zipfile` write other headers for streams."""
    ndcg = np.array([[0.5, 1.0], [np.nan, 0.25]], np.float32)
    scores = UserScores(ndcg, np.array([0, 1], np.int8), np.array([3, 3], np.int32))
    scores.save(tmp_path / "scores.npz")
    digest = "6bb5fe8c87a9fe6f55d6d03901f1f176654214caaa97ff8c62ff1c048a2b756a"
    assert sha256_of(tmp_path / "scores.npz") == digest


def test_search_by_errors_has_no_columns() -> None:
    scores = UserScores.from_trials([make_trial(0)], UserColumns(()))
    assert scores.ndcg.shape == (1, 0)


@given(npst.arrays(np.float32, st.integers(0, 300), elements=st.floats(width=32, allow_nan=True)))
def test_encoded_floats_are_restored_bit_for_bit(values: Float32Array) -> None:
    assert decode_floats(encode_floats(values)).tobytes() == values.tobytes()
