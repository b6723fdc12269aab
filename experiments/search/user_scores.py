"""Metrics of single users for every trial: results/user_scores.npz.

ndcg   (n_trials, n_columns), float32: row = number of the trial; NaN where a trial has no list
NAME   the same for the metric of the search, if that is a mean over users other than the NDCG, such as recall
part   (n_columns,), int8: validation part of the column
user   (n_columns,), int32: number of the user, by order of first appearance in data/split/rows.parquet
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from experiments.search.metric import NDCG
from experiments.search.trials import Trial
from marquee.array_types import AnyArray, Float32Array, Int8Array, Int32Array
from marquee.files.atomic_write import write_atomically


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
    """NDCG, and perhaps another metric, of each user and part for every trial; the module has the shapes."""

    ndcg: Float32Array
    part: Int8Array
    user: Int32Array
    others: Mapping[str, Float32Array] = field(default_factory=dict)

    @classmethod
    def from_trials(
        cls, trials: Sequence[Trial], columns: UserColumns, metric: str | None = None
    ) -> "UserScores":
        """Collect the values of all trials; the number of a trial is its row.

        Args:
            trials: trials with the values of single users.
            columns: the evaluated users.
            metric: metric of the search, if it is a mean over users.
        """
        names = {NDCG, metric} - {None}
        values = {str(name): _collect_values(trials, columns, str(name)) for name in names}
        return cls(values.pop(NDCG), columns.parts, columns.users, values)

    def values(self, metric: str) -> Float32Array:
        """Return the values of a metric, (n_trials, n_columns).

        Raises:
            KeyError: the file does not have this metric.
        """
        return self.ndcg if metric == NDCG else self.others[metric]

    def save(self, path: Path) -> None:
        """Write the arrays to an uncompressed file, whose bytes depend on the values alone."""
        arrays: dict[str, AnyArray] = {NDCG: self.ndcg, "part": self.part, "user": self.user, **self.others}
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _pack_arrays(arrays))

    @classmethod
    def load(cls, path: Path) -> "UserScores":
        """Read the arrays from a file."""
        with np.load(path) as arrays:
            values = {name: arrays[name] for name in arrays.files}
        return cls(values.pop(NDCG), values.pop("part"), values.pop("user"), values)


def _pack_arrays(arrays: Mapping[str, AnyArray]) -> bytes:
    """Return an .npz archive; unlike those of `numpy.savez`, its headers are those of any Python 3.11."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue())
    return buffer.getvalue()


def _collect_values(trials: Sequence[Trial], columns: UserColumns, metric: str) -> Float32Array:
    parts = columns.parts
    values = np.full((len(trials), len(parts)), np.nan, dtype=np.float32)
    for trial in trials:
        for number, score in enumerate(trial.parts):
            values[trial.number, parts == number] = score.user_values[metric]
    return values
