"""NDCG of single users for every trial: results/user_ndcg.npz.

ndcg   (n_trials, n_columns), float32: row = number of the trial; NaN where a trial has no list
part   (n_columns,), int8: validation part of the column
user   (n_columns,), int32: number of the user, by order of first appearance in data/split/rows.parquet
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.search.trials import Trial
from marquee.array_types import Float32Array, Int8Array, Int32Array
from marquee.files.atomic_write import write_atomically

NDCG = "ndcg"


@dataclass(frozen=True)
class UserColumns:
    """Columns of the values of single users: the evaluated users of every validation part.

    Attributes:
        users_by_part: numbers of the evaluated users of each part, in ascending order.
    """

    users_by_part: tuple[Int32Array, ...]

    @property
    def users(self) -> Int32Array:
        """Number of the user of each column."""
        return np.concatenate([np.zeros(0, dtype=np.int32), *self.users_by_part])

    @property
    def parts(self) -> Int8Array:
        """Validation part of each column."""
        counts = [len(users) for users in self.users_by_part]
        return np.repeat(np.arange(len(counts)), counts).astype(np.int8)


@dataclass(frozen=True)
class UserScores:
    """NDCG of each user and part for every trial; see the module for the shapes."""

    ndcg: Float32Array
    part: Int8Array
    user: Int32Array

    @classmethod
    def from_trials(cls, trials: Sequence[Trial], columns: UserColumns) -> "UserScores":
        """Collect the values of all trials; the number of a trial is its row."""
        parts = columns.parts
        ndcg = np.full((len(trials), len(parts)), np.nan, dtype=np.float32)
        for trial in trials:
            for number, score in enumerate(trial.parts):
                ndcg[trial.number, parts == number] = score.user_values[NDCG]
        return cls(ndcg, parts, columns.users)

    def save(self, path: Path) -> None:
        """Write the arrays to an uncompressed file, whose bytes depend on the values alone."""
        buffer = io.BytesIO()
        np.savez(buffer, ndcg=self.ndcg, part=self.part, user=self.user)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> "UserScores":
        """Read the arrays from a file."""
        with np.load(path) as arrays:
            return cls(arrays["ndcg"], arrays["part"], arrays["user"])
