"""Arrays of a fitted model, and checks of their consistency."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from marquee.array_types import AnyArray, Float32Array, Int32Array, Int64Array
from marquee.errors import ModelError
from marquee.model.factor_scoring import FactorSpace
from marquee.model.id_index import IdIndex
from marquee.model.item_weights import ItemWeights
from marquee.model.scorers import Confidences
from marquee.model.string_table import StringTable
from marquee.top_n import PADDING

ATTRIBUTES = "attributes"  # string table of models whose items have attributes
# File names without suffix. Arrays have the name of their attribute in `ModelArrays`, `FactorSpace` or
# `ItemWeights`; those of the predictor's factor space have a prefix.
STRING_TABLES = ("users", "items", "titles", "genres")  # two files each: _text and _offsets
ARRAYS = (
    "top_items", "top_scores", "popular_items", "popular_counts", "seen_indptr", "seen_items",
    "similar_items", "similarities", "group_items",
)  # fmt: skip
FACTOR_ARRAYS = (
    "item_factors", "item_biases", "user_factors", "user_biases", "prior_mean", "prior_covariance",
)  # fmt: skip
FACTOR_CONSTANTS = ("offset", "noise")  # stored in the manifest
PREDICTOR_PREFIX = "predictor_"
ITEM_WEIGHT_ARRAYS = ("weight_items", "item_weights", "seen_weights")
INDEX_ARRAYS = ("users_keys", "users_order")
PADDED_ARRAYS = ("top_items", "similar_items", "group_items")

_DTYPES: dict[str, type[np.generic]] = {
    **dict.fromkeys((f"{name}_text" for name in (*STRING_TABLES, ATTRIBUTES)), np.uint8),
    **dict.fromkeys((f"{name}_offsets" for name in (*STRING_TABLES, ATTRIBUTES)), np.int64),
    **dict.fromkeys(("popular_counts", "seen_indptr"), np.int64),
    **dict.fromkeys(("popular_items", "seen_items", *PADDED_ARRAYS), np.int32),
    **dict.fromkeys(("top_scores", "similarities"), np.float32),
    **dict.fromkeys(("item_factors", "item_biases", "user_factors", "user_biases"), np.float32),
    **dict.fromkeys(("prior_mean", "prior_covariance"), np.float64),
    **dict.fromkeys(("item_weights", "seen_weights"), np.float32),
    "weight_items": np.int32,
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
        factors: parameters of the recommender, if it is a factor model.
        confidences: constants of the recommender, if it is a factor model of confidences.
        item_weights: weights of the recommender, if it is an item-item model.
        predictor_factors: parameters of the predictor, if it is a factor model and not the recommender.
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
    similar_items: Int32Array
    similarities: Float32Array
    group_items: Int32Array  # a row for each of `GenreAffinity.genres`
    attributes: StringTable | None = None
    factors: FactorSpace | None = None
    confidences: Confidences | None = None
    item_weights: ItemWeights | None = None
    predictor_factors: FactorSpace | None = None


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
    for prefix, space in _factor_spaces(arrays):
        for name in FACTOR_ARRAYS:
            yield prefix + name, getattr(space, name)
    if arrays.item_weights is not None:
        for name in ITEM_WEIGHT_ARRAYS:
            yield name, getattr(arrays.item_weights, name)


def _string_tables(arrays: ModelArrays) -> Iterator[tuple[str, StringTable]]:
    """Yield each string table with its name."""
    for name in (*STRING_TABLES, ATTRIBUTES):
        table: StringTable | None = getattr(arrays, name)
        if table is not None:
            yield name, table


def _factor_spaces(arrays: ModelArrays) -> Iterator[tuple[str, FactorSpace]]:
    """Yield each factor space with the prefix of its file names."""
    for prefix, space in (("", arrays.factors), (PREDICTOR_PREFIX, arrays.predictor_factors)):
        if space is not None:
            yield prefix, space


def _find_problems(arrays: ModelArrays, index: IdIndex) -> Iterator[Problem]:
    """Run all checks in order; each one assumes that the checks before it found no problem."""
    yield from _check_dtypes(arrays, index)
    yield from _check_string_tables(arrays)
    yield from _check_shapes(arrays, index)
    yield from _check_inner_ids(arrays, index)
    yield from _check_seen_indptr(arrays)
    yield from _check_scorers_finite(arrays)


def _check_dtypes(arrays: ModelArrays, index: IdIndex) -> Iterator[Problem]:
    for name, array in iter_named_arrays(arrays, index):
        expected = np.dtype(_DTYPES[name.removeprefix(PREDICTOR_PREFIX)])
        if array.dtype != expected:
            yield name, f"has dtype {array.dtype}, expected {expected}"


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
        "similar_items": (n_items, None),
        "similarities": arrays.similar_items.shape,
        "group_items": (None, None),
        **_scorer_shapes(arrays),
    }
    for name, array in iter_named_arrays(arrays, index):
        if name in expected and not _fits(array.shape, expected[name]):
            yield name, _shape_problem(array.shape)


def _scorer_shapes(arrays: ModelArrays) -> dict[str, Shape]:
    n_users, n_items = len(arrays.users), len(arrays.items)
    shapes: dict[str, Shape] = {}
    for prefix, space in _factor_spaces(arrays):
        n_factors = np.atleast_1d(space.item_factors).shape[-1]
        shapes |= {
            f"{prefix}item_factors": (n_items, n_factors),
            f"{prefix}item_biases": (n_items,),
            f"{prefix}user_factors": (n_users, n_factors),
            f"{prefix}user_biases": (n_users,),
            f"{prefix}prior_mean": (n_factors + 1,),
            f"{prefix}prior_covariance": (n_factors + 1, n_factors + 1),
        }
    if arrays.item_weights is not None:
        shapes |= {
            "weight_items": (n_items, None),
            "item_weights": arrays.item_weights.weight_items.shape,
            "seen_weights": arrays.seen_items.shape,
        }
    return shapes


def _check_inner_ids(arrays: ModelArrays, index: IdIndex) -> Iterator[Problem]:
    n_users, n_items = len(arrays.users), len(arrays.items)
    for name in ("popular_items", "seen_items", *PADDED_ARRAYS):
        if not _is_within(getattr(arrays, name), PADDING if name in PADDED_ARRAYS else 0, n_items):
            yield name, f"has inner ids outside the range of the {n_items} items"
    if arrays.item_weights is not None and not _is_within(arrays.item_weights.weight_items, 0, n_items):
        yield "weight_items", f"has inner ids outside the range of the {n_items} items"
    if not _is_within(index.order, 0, n_users):
        yield "users_order", f"has inner ids outside the range of the {n_users} users"


def _check_seen_indptr(arrays: ModelArrays) -> Iterator[Problem]:
    if not _spans(arrays.seen_indptr, len(arrays.seen_items)):
        yield "seen_indptr", "does not span the seen items"


def _check_scorers_finite(arrays: ModelArrays) -> Iterator[Problem]:
    for prefix, space in _factor_spaces(arrays):
        for name in FACTOR_ARRAYS:
            if not np.isfinite(getattr(space, name)).all():
                yield prefix + name, "has non-finite values"
    if arrays.item_weights is not None:
        for name in ("item_weights", "seen_weights"):
            if not np.isfinite(getattr(arrays.item_weights, name)).all():
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
