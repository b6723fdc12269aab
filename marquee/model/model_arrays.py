"""Arrays of a fitted model, and checks of their consistency."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from marquee.array_types import AnyArray, Float32Array, Int32Array, Int64Array
from marquee.errors import ModelError
from marquee.model.id_index import IdIndex
from marquee.model.scorers.history import TrainingHistories
from marquee.model.scorers.rating_factors import RatingFactors
from marquee.model.scorers.stored_scorer import ArraySpec, StoredScorer
from marquee.model.string_table import StringTable
from marquee.top_n import PADDING

ATTRIBUTES = "attributes"  # string table of models whose items have attributes
# File names without suffix. Arrays have the name of their attribute in `ModelArrays`; the name of an array of
# a stored scorer begins with that of the scorer's attribute.
STRING_TABLES = ("users", "items", "titles", "genres")  # two files each: _text and _offsets
ARRAYS = (
    "top_items", "top_scores", "popular_items", "popular_counts", "seen_indptr", "seen_items", "seen_values",
    "similar_items", "similarities", "group_items",
)  # fmt: skip
SCORERS = ("recommender", "predictor")
INDEX_ARRAYS = ("users_keys", "users_order")
PADDED_ARRAYS = ("top_items", "similar_items", "group_items")

_DTYPES: dict[str, type[np.generic]] = {
    **dict.fromkeys((f"{name}_text" for name in (*STRING_TABLES, ATTRIBUTES)), np.uint8),
    **dict.fromkeys((f"{name}_offsets" for name in (*STRING_TABLES, ATTRIBUTES)), np.int64),
    **dict.fromkeys(("popular_counts", "seen_indptr"), np.int64),
    **dict.fromkeys(("popular_items", "seen_items", *PADDED_ARRAYS), np.int32),
    **dict.fromkeys(("top_scores", "similarities", "seen_values"), np.float32),
    "users_keys": np.uint64,
    "users_order": np.int32,
}

Problem: TypeAlias = tuple[str, str]  # name of the array, description of the problem
Shape: TypeAlias = tuple[int | None, ...]  # None: any length


@dataclass(frozen=True)
class ModelArrays:
    """Content of a fitted model; `marquee.model.fitted_model` lists the meaning and shape of each array.

    Inner ids are positions in `users` and `items`.

    Attributes:
        attributes: attributes of each item (`marquee.model.item_attributes`); None if no item has any.
        recommender: what the recommender needs to score items; None if its scores cannot be computed from
            arrays of this model.
        predictor: factors of the predictor, if it is a factor model and not the recommender.
    """

    users: StringTable
    items: StringTable
    titles: StringTable
    genres: StringTable
    top_items: Int32Array
    top_scores: Float32Array
    popular_items: Int32Array
    popular_counts: Int64Array
    seen_indptr: Int64Array
    seen_items: Int32Array
    seen_values: Float32Array
    similar_items: Int32Array
    similarities: Float32Array
    group_items: Int32Array  # a row for each of `GenreAffinity.genres`
    attributes: StringTable | None = None
    recommender: StoredScorer | None = None
    predictor: RatingFactors | None = None

    @property
    def training(self) -> TrainingHistories:
        """Training interactions of all users."""
        return TrainingHistories(self.seen_indptr, self.seen_items, self.seen_values)


def check_arrays(folder: Path, arrays: ModelArrays, index: IdIndex) -> None:
    """Check that the arrays fit together; otherwise a server could crash or return another user's list.

    Raises:
        ModelError: an array does not fit the others; the message names its file.
    """
    for name, problem in _find_problems(arrays, index):
        raise ModelError(f"{folder / name}.npy {problem}; export the model again")


def iter_named_arrays(arrays: ModelArrays, index: IdIndex) -> Iterator[tuple[str, AnyArray]]:
    """Yield every array with the name of its file."""
    for name, table in _string_tables(arrays):
        yield f"{name}_text", table.text
        yield f"{name}_offsets", table.offsets
    yield from zip(INDEX_ARRAYS, (index.keys, index.order), strict=True)
    for name in ARRAYS:
        yield name, getattr(arrays, name)
    for attribute, stored in _stored_scorers(arrays):
        for name, array in stored.arrays().items():
            yield f"{attribute}_{name}", array


def _string_tables(arrays: ModelArrays) -> Iterator[tuple[str, StringTable]]:
    """Yield each string table with its name."""
    for name in (*STRING_TABLES, ATTRIBUTES):
        table: StringTable | None = getattr(arrays, name)
        if table is not None:
            yield name, table


def _stored_scorers(arrays: ModelArrays) -> Iterator[tuple[str, StoredScorer]]:
    """Yield each stored scorer with the name of its attribute."""
    for attribute in SCORERS:
        if (stored := getattr(arrays, attribute)) is not None:
            yield attribute, stored


def _scorer_arrays(arrays: ModelArrays) -> Iterator[tuple[str, AnyArray, ArraySpec]]:
    """Yield every array of a stored scorer with the name of its file and its specification."""
    for attribute, stored in _stored_scorers(arrays):
        specs = stored.array_specs(len(arrays.users), len(arrays.items))
        for name, array in stored.arrays().items():
            yield f"{attribute}_{name}", array, specs[name]


def _find_problems(arrays: ModelArrays, index: IdIndex) -> Iterator[Problem]:
    """Run all checks in order; each one assumes that the checks before it found no problem."""
    yield from _check_dtypes(arrays, index)
    yield from _check_string_tables(arrays)
    yield from _check_shapes(arrays, index)
    yield from _check_inner_ids(arrays, index)
    yield from _check_seen_indptr(arrays)
    yield from _check_scorers(arrays)
    yield from _check_finite("seen_values", arrays.seen_values)


def _check_dtypes(arrays: ModelArrays, index: IdIndex) -> Iterator[Problem]:
    for name, array in iter_named_arrays(arrays, index):
        if name in _DTYPES:
            yield from _check_dtype(name, array, _DTYPES[name])
    for name, array, spec in _scorer_arrays(arrays):
        yield from _check_dtype(name, array, spec.dtype)


def _check_dtype(name: str, array: AnyArray, dtype: type[np.generic]) -> Iterator[Problem]:
    if array.dtype != np.dtype(dtype):
        yield name, f"has dtype {array.dtype}, expected {np.dtype(dtype)}"


def _check_string_tables(arrays: ModelArrays) -> Iterator[Problem]:
    for name, table in _string_tables(arrays):
        if not _spans(table.offsets, table.text.size):
            yield f"{name}_offsets", "does not span the text"


def _check_shapes(arrays: ModelArrays, index: IdIndex) -> Iterator[Problem]:
    n_users, n_items = len(arrays.users), len(arrays.items)
    for name, table in _string_tables(arrays):
        if name not in {"users", "items"} and len(table) != n_items:
            yield f"{name}_offsets", _shape_problem((len(table),))
    expected = {
        "users_keys": (n_users,),
        "users_order": (n_users,),
        "top_items": (n_users, None),
        "top_scores": arrays.top_items.shape,
        "popular_items": (n_items,),
        "popular_counts": (n_items,),
        "seen_indptr": (n_users + 1,),
        "seen_items": (None,),
        "seen_values": arrays.seen_items.shape,
        "similar_items": (n_items, None),
        "similarities": arrays.similar_items.shape,
        "group_items": (None, None),
        **{name: spec.shape for name, _, spec in _scorer_arrays(arrays)},
    }
    for name, array in iter_named_arrays(arrays, index):
        if name in expected and not _fits(array.shape, expected[name]):
            yield name, _shape_problem(array.shape)


def _check_inner_ids(arrays: ModelArrays, index: IdIndex) -> Iterator[Problem]:
    n_users, n_items = len(arrays.users), len(arrays.items)
    for name in ("popular_items", "seen_items", *PADDED_ARRAYS):
        if not _is_within(getattr(arrays, name), PADDING if name in PADDED_ARRAYS else 0, n_items):
            yield name, f"has inner ids outside the range of the {n_items} items"
    if not _is_within(index.order, 0, n_users):
        yield "users_order", f"has inner ids outside the range of the {n_users} users"


def _check_seen_indptr(arrays: ModelArrays) -> Iterator[Problem]:
    if not _spans(arrays.seen_indptr, len(arrays.seen_items)):
        yield "seen_indptr", "does not span the seen items"


def _check_scorers(arrays: ModelArrays) -> Iterator[Problem]:
    """Check the elements of the arrays of all stored scorers."""
    for name, array, spec in _scorer_arrays(arrays):
        if spec.n_ids is not None and not _is_within(array, 0, spec.n_ids):
            yield name, f"has ids outside the range of {spec.n_ids}"
        yield from _check_finite(name, array)


def _check_finite(name: str, array: AnyArray) -> Iterator[Problem]:
    if not np.isfinite(array).all():
        yield name, "has non-finite values"


def _spans(offsets: Int64Array, length: int) -> bool:
    """Return True if the offsets start at 0, do not decrease, and end at `length`."""
    if offsets.ndim != 1 or not len(offsets):
        return False
    return offsets[0] == 0 and offsets[-1] == length and bool((np.diff(offsets) >= 0).all())


def _is_within(inner_ids: AnyArray, low: int, high: int) -> bool:
    return not inner_ids.size or (int(inner_ids.min()) >= low and int(inner_ids.max()) < high)


def _fits(shape: tuple[int, ...], expected: Shape) -> bool:
    return len(shape) == len(expected) and all(
        size is None or length == size for length, size in zip(shape, expected, strict=True)
    )


def _shape_problem(shape: tuple[int, ...]) -> str:
    return f"has shape {shape}, which does not fit the other arrays"
