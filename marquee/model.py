"""FittedModel: what is served, a folder of arrays that several processes map into memory.

    manifest.json                      what it is, with a digest a file (`marquee.manifest`)
    top_items.npy, top_scores.npy      (n_users, n) each known user's list, best first, padded
    popular_items.npy, _counts.npy     (n_items,) all items by number of ratings
    seen_indptr.npy, seen_items.npy    what each user rated in training, by user
    users_*, items_*, titles_*, genres_*   string tables: text and offsets
    item_factors.npy, item_biases.npy  (n_items, k), (n_items,) of a factor model only

Every file is opened as a plain array, never as a pickle: loading a model runs no code of the model's.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from marquee.arrays import Floats, Indices, Integers, Scores
from marquee.errors import ModelError
from marquee.manifest import MANIFEST, Manifest, check_files, read_manifest, sha256_of
from marquee.strings import StringTable
from marquee.topn import NONE

Array = npt.NDArray[Any]
STRINGS = ("users", "items", "titles", "genres")
ARRAYS = ("top_items", "top_scores", "popular_items", "popular_counts", "seen_indptr", "seen_items")
FACTORS = ("item_factors", "item_biases")


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
    item_factors: Floats | None = None
    item_biases: Floats | None = None


class FittedModel:
    """A model ready to be asked. Its arrays are read-only views of the files."""

    def __init__(self, manifest: Manifest, arrays: ModelArrays) -> None:
        self.manifest = manifest
        self.arrays = arrays
        self._user_numbers = arrays.users.numbers()

    @property
    def digest(self) -> str:
        """Digest of the whole content."""
        return self.manifest.digest

    def user_number(self, user: str) -> int | None:
        """Number of a known user, or None."""
        return self._user_numbers.get(user)

    def personal(self, user: int) -> list[tuple[int, float]]:
        """Item numbers and scores of a known user's stored list, best first."""
        items, scores = self.arrays.top_items[user].tolist(), self.arrays.top_scores[user].tolist()
        return [(item, score) for item, score in zip(items, scores, strict=True) if item != NONE]

    def seen(self, user: int) -> set[int]:
        """Numbers of the items that a known user rated in training."""
        start, stop = self.arrays.seen_indptr[user : user + 2]
        return set(self.arrays.seen_items[start:stop].tolist())

    def popular(self) -> Iterator[tuple[int, int]]:
        """Item numbers and their numbers of ratings, most rated first."""
        items, counts = self.arrays.popular_items.tolist(), self.arrays.popular_counts.tolist()
        return zip(items, counts, strict=True)

    def recommend(self, user: str, n: int = 10) -> list[str]:
        """Ids of up to n items: the user's own list, or the popular ones for an unknown user."""
        number = self.user_number(user)
        chosen = (item for item, _ in (self.popular() if number is None else self.personal(number)))
        return [self.arrays.items[item] for item in islice(chosen, n)]


def write_model(folder: Path, arrays: ModelArrays, description: Mapping[str, Any]) -> Manifest:
    """Write a model's folder; all of it or nothing.

    Args:
        folder: where; a model that is there is replaced.
        arrays: the content.
        description: the manifest's fields without `counts` and `files`.

    Raises:
        ModelError: the arrays contradict each other.
    """
    _check_shapes(folder, arrays)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as parent:
        half = Path(parent) / "model"
        half.mkdir()
        for name, array in _named(arrays):
            np.save(half / f"{name}.npy", array, allow_pickle=False)
        files = {path.name: sha256_of(path) for path in sorted(half.glob("*.npy"))}
        manifest = Manifest(**description, counts=_counts(arrays), files=files)
        (half / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        half.rename(folder)
    return manifest


def load_model(folder: Path | str) -> FittedModel:
    """Open a model's folder, memory-mapped, after checking every file against the manifest.

    Raises:
        ModelError: the folder is no model, of another schema, or damaged; the message names the file.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    content: dict[str, Any] = {
        name: StringTable(_open(folder, f"{name}_text"), _open(folder, f"{name}_offsets")) for name in STRINGS
    }
    names = (*ARRAYS, *(name for name in FACTORS if f"{name}.npy" in manifest.files))
    content |= {name: _open(folder, name) for name in names}
    arrays = ModelArrays(**content)
    _check_shapes(folder, arrays)
    return FittedModel(manifest, arrays)


def _named(arrays: ModelArrays) -> Iterator[tuple[str, Array]]:
    """Every array with its file's name."""
    for name in STRINGS:
        table: StringTable = getattr(arrays, name)
        yield f"{name}_text", table.text
        yield f"{name}_offsets", table.offsets
    for name in (*ARRAYS, *FACTORS):
        array = getattr(arrays, name)
        if array is not None:
            yield name, array


def _open(folder: Path, name: str) -> Array:
    """Map an array. `open_memmap` knows the .npy format only; `np.load` knows pickles and archives too."""
    path = folder / f"{name}.npy"
    try:
        array: Array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: export the model again") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is no plain array ({error}): export the model again") from None
    return array


def _counts(arrays: ModelArrays) -> dict[str, int]:
    return {
        "users": len(arrays.users),
        "items": len(arrays.items),
        "ratings": len(arrays.seen_items),
        "top_n": int(arrays.top_items.shape[1]),
    }


def _check_shapes(folder: Path, arrays: ModelArrays) -> None:
    """Arrays that contradict each other would answer with another user's list."""
    n_users, n_items, n_seen = len(arrays.users), len(arrays.items), len(arrays.seen_items)
    expected: dict[str, tuple[int | None, ...]] = {
        "top_items": (n_users, None),
        "top_scores": arrays.top_items.shape,
        "popular_items": (n_items,),
        "popular_counts": (n_items,),
        "seen_indptr": (n_users + 1,),
        "item_factors": (n_items, None),
        "item_biases": (n_items,),
    }
    for name, shape in expected.items():
        array = getattr(arrays, name)
        if array is not None and not _fits(array.shape, shape):
            raise ModelError(
                f"{folder / name}.npy has shape {array.shape}, which does not fit the other arrays"
            )
    if len(arrays.titles) != n_items or len(arrays.genres) != n_items or arrays.seen_indptr[-1] != n_seen:
        raise ModelError(f"{folder}: titles, genres or seen items do not fit the other arrays")


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        want is None or have == want for have, want in zip(shape, expected, strict=True)
    )
