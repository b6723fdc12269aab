"""The content of a fitted model, and what must hold of it before anybody is answered from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from marquee.arrays import Indices, Integers, Scores
from marquee.errors import ModelError
from marquee.model.factor_space import FactorSpace
from marquee.model.id_index import IdIndex
from marquee.model.string_table import StringTable
from marquee.top_n import NONE

Array = npt.NDArray[Any]
STRINGS = ("users", "items", "titles", "genres")
ARRAYS = (
    "top_items", "top_scores", "popular_items", "popular_counts", "seen_indptr", "seen_items",
    "similar_items", "similarities", "taste_items",
)  # fmt: skip
FACTORS = (
    "item_factors", "item_biases", "user_factors", "user_biases", "prior_mean", "prior_covariance",
)  # fmt: skip
CONSTANTS = ("offset", "noise")  # of a factor space, in the manifest
INDEX = ("users_keys", "users_order")
PADDED = ("top_items", "similar_items", "taste_items")
_KINDS: dict[str, np.dtype[Any]] = {
    **dict.fromkeys((f"{name}_text" for name in STRINGS), np.dtype(np.uint8)),
    **dict.fromkeys((f"{name}_offsets" for name in STRINGS), np.dtype(np.int64)),
    **dict.fromkeys(("popular_counts", "seen_indptr"), np.dtype(np.int64)),
    **dict.fromkeys(("top_scores", "similarities", *FACTORS[:4]), np.dtype(np.float32)),
    **dict.fromkeys(FACTORS[4:], np.dtype(np.float64)),
    "users_keys": np.dtype(np.uint64),
}  # of an array that is not listed: int32


@dataclass(frozen=True)
class ModelArrays:
    """The content of a fitted model. Items are numbered as in `items`, users as in `users`."""

    users: StringTable
    items: StringTable
    titles: StringTable
    genres: StringTable
    top_items: Integers
    top_scores: Scores
    popular_items: Integers
    popular_counts: Indices
    seen_indptr: Indices
    seen_items: Integers
    similar_items: Integers
    similarities: Scores
    taste_items: Integers  # rows as in `Tastes.genres`
    factors: FactorSpace | None = None


def check_arrays(folder: Path, arrays: ModelArrays, index: IdIndex) -> None:
    """Refuse arrays that contradict each other: they would answer with another user's list, or crash.

    Raises:
        ModelError: one does not fit the others; the message names its file.
    """
    for name, problem in _problems(arrays, index):
        raise ModelError(f"{folder / name}.npy {problem}: export the model again")


def named_arrays(arrays: ModelArrays, index: IdIndex) -> Iterator[tuple[str, Array]]:
    """Every array, with the name of its file."""
    for name in STRINGS:
        table: StringTable = getattr(arrays, name)
        yield f"{name}_text", table.text
        yield f"{name}_offsets", table.offsets
    yield from zip(INDEX, (index.keys, index.order), strict=True)
    for name in ARRAYS:
        yield name, getattr(arrays, name)
    if arrays.factors is not None:
        for name in FACTORS:
            yield name, getattr(arrays.factors, name)


def _problems(arrays: ModelArrays, index: IdIndex) -> Iterator[tuple[str, str]]:
    """What is wrong, each check relying on those before it."""
    yield from _wrong_kinds(arrays, index)
    yield from _wrong_strings(arrays)
    yield from _wrong_shapes(arrays, index)
    yield from _wrong_numbers(arrays, index)


def _wrong_kinds(arrays: ModelArrays, index: IdIndex) -> Iterator[tuple[str, str]]:
    for name, array in named_arrays(arrays, index):
        if array.dtype != _KINDS.get(name, np.dtype(np.int32)):
            yield name, f"holds {array.dtype}"


def _wrong_strings(arrays: ModelArrays) -> Iterator[tuple[str, str]]:
    for name in STRINGS:
        table: StringTable = getattr(arrays, name)
        offsets = table.offsets
        spans = offsets.ndim == 1 and len(offsets) and offsets[0] == 0 and offsets[-1] == table.text.size
        if not (spans and (np.diff(offsets) >= 0).all()):
            yield f"{name}_offsets", "does not span the text"


def _wrong_shapes(arrays: ModelArrays, index: IdIndex) -> Iterator[tuple[str, str]]:
    n_users, n_items = len(arrays.users), len(arrays.items)
    expected: dict[str, tuple[int | None, ...]] = {
        "titles": (n_items,),
        "genres": (n_items,),
        "top_items": (n_users, None),
        "top_scores": arrays.top_items.shape,
        "popular_items": (n_items,),
        "popular_counts": (n_items,),
        "seen_indptr": (n_users + 1,),
        "similar_items": (n_items, None),
        "similarities": arrays.similar_items.shape,
        "taste_items": (None, None),
    }
    for name, shape in expected.items():
        array = getattr(arrays, name)
        have = (len(array),) if isinstance(array, StringTable) else array.shape
        if not _fits(have, shape):
            yield name, _shape_problem(have)
    for name, array in (("users_keys", index.keys), ("users_order", index.order)):
        if array.shape != (n_users,):
            yield name, _shape_problem(array.shape)
    if arrays.factors is not None:
        width = arrays.factors.item_factors.shape[-1]
        shapes = ((n_items, width), (n_items,), (n_users, width), (n_users,), (width + 1,), (width + 1,) * 2)
        for name, shape in zip(FACTORS, shapes, strict=True):
            if (have := getattr(arrays.factors, name).shape) != shape:
                yield name, _shape_problem(have)


def _wrong_numbers(arrays: ModelArrays, index: IdIndex) -> Iterator[tuple[str, str]]:
    """Numbers that point outside of what they number. Asked once the shapes are right."""
    n_users, n_items = len(arrays.users), len(arrays.items)
    for name in ("popular_items", "seen_items", *PADDED):
        if not _within(getattr(arrays, name), NONE if name in PADDED else 0, n_items):
            yield name, f"has numbers outside of the {n_items} items"
    if not _within(index.order, 0, n_users):
        yield "users_order", f"has numbers outside of the {n_users} users"
    if not (arrays.seen_indptr[0] == 0 and arrays.seen_indptr[-1] == len(arrays.seen_items)):
        yield "seen_indptr", "does not span the seen items"
    elif (np.diff(arrays.seen_indptr) < 0).any():
        yield "seen_indptr", "does not ascend"
    if arrays.factors is not None:
        for name in FACTORS:
            if not np.isfinite(getattr(arrays.factors, name)).all():
                yield name, "has numbers that are not finite"


def _within(numbers: Array, least: int, end: int) -> bool:
    return not numbers.size or (int(numbers.min()) >= least and int(numbers.max()) < end)


def _shape_problem(shape: tuple[int, ...]) -> str:
    return f"has shape {shape}, which does not fit the other arrays"


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        want is None or have == want for have, want in zip(shape, expected, strict=True)
    )
