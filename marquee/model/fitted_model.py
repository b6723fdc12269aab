"""FittedModel: what is served, a folder of arrays that several processes map into memory.

    manifest.json                      what it is, with a digest a file (`marquee.model.manifest`)
    top_items.npy, top_scores.npy      (n_users, n) each known user's list, best first, padded
    popular_items.npy, _counts.npy     (n_items,) all items by number of ratings
    seen_indptr.npy, seen_items.npy    what each user rated in training, by user
    similar_items.npy, similarities.npy    (n_items, m) items that the same people rated, padded
    taste_items.npy                    (n_genres, m) what users of each taste rated most, padded
    users_*, items_*, titles_*, genres_*   string tables: text and offsets
    users_keys.npy, users_order.npy    (n_users,) the index of user ids (`marquee.model.id_index`)
    item_factors.npy, ...              of a factor model only (`marquee.model.factor_space`)

Every file is opened as a plain array, never as a pickle: loading a model runs no code of the model's.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from marquee.errors import ModelError
from marquee.files.atomic_write import new_folder
from marquee.files.digest import sha256_of
from marquee.model.arrays import (
    ARRAYS,
    CONSTANTS,
    FACTORS,
    INDEX,
    STRINGS,
    ModelArrays,
    check_arrays,
    named_arrays,
)
from marquee.model.factor_space import FactorSpace
from marquee.model.genre_affinity import Tastes
from marquee.model.id_index import IdIndex
from marquee.model.manifest import MANIFEST, Manifest, check_files, read_manifest
from marquee.model.string_table import StringTable
from marquee.top_n import NONE

Array = npt.NDArray[Any]


class FittedModel:
    """A model ready to be asked. Its arrays are read-only views of the files."""

    def __init__(self, manifest: Manifest, arrays: ModelArrays, users: IdIndex) -> None:
        self.manifest = manifest
        self.arrays = arrays
        self._users = users
        self._items = arrays.items.numbers()
        counts = np.empty(len(arrays.items), dtype=np.int64)
        counts[arrays.popular_items] = arrays.popular_counts
        self.tastes = Tastes.of(arrays.genres, counts)
        if len(self.tastes.genres) != len(arrays.taste_items):
            raise ModelError("taste_items.npy has not one list a genre: export the model again")

    @property
    def digest(self) -> str:
        """Digest of the whole content."""
        return self.manifest.digest

    def user_number(self, user: str) -> int | None:
        """Number of a known user, or None."""
        return self._users.number(user)

    def item_number(self, item: str) -> int | None:
        """Number of an item of the catalogue, or None."""
        return self._items.get(item)

    def personal(self, user: int) -> list[tuple[int, float]]:
        """Item numbers and scores of a known user's stored list, best first."""
        items, scores = self.arrays.top_items[user].tolist(), self.arrays.top_scores[user].tolist()
        return [(item, score) for item, score in zip(items, scores, strict=True) if item != NONE]

    def seen(self, user: int) -> set[int]:
        """Numbers of the items that a known user rated in training."""
        start, stop = self.arrays.seen_indptr[user : user + 2]
        return set(self.arrays.seen_items[start:stop].tolist())

    def similar(self, item: int) -> list[tuple[int, float]]:
        """Item numbers and similarities of what the same people rated, most similar first."""
        items, values = self.arrays.similar_items[item].tolist(), self.arrays.similarities[item].tolist()
        return [(other, value) for other, value in zip(items, values, strict=True) if other != NONE]

    def of_taste(self, genre: int) -> list[int]:
        """Item numbers of what users of a taste rated most, most rated first."""
        return [item for item in self.arrays.taste_items[genre].tolist() if item != NONE]

    def popular(self) -> Iterator[tuple[int, int]]:
        """Item numbers and their numbers of ratings, most rated first."""
        items, counts = self.arrays.popular_items.tolist(), self.arrays.popular_counts.tolist()
        return zip(items, counts, strict=True)

    def popularity(self) -> dict[str, float]:
        """Share of all ratings by item."""
        rated = [(self.arrays.items[item], count) for item, count in self.popular()]
        total = max(sum(count for _, count in rated), 1)
        return {item: count / total for item, count in rated}

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
    index = IdIndex.of(arrays.users)
    check_arrays(folder, arrays, index)
    with new_folder(folder) as half:
        for name, array in named_arrays(arrays, index):
            np.save(half / f"{name}.npy", array, allow_pickle=False)
        files = {path.name: sha256_of(path) for path in sorted(half.glob("*.npy"))}
        space = arrays.factors
        factors = None if space is None else {name: float(getattr(space, name)) for name in CONSTANTS}
        manifest = Manifest(**description, counts=_counts(arrays), files=files, factors=factors)
        (half / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
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
    content |= {name: _open(folder, name) for name in ARRAYS}
    if manifest.factors is not None:
        opened: dict[str, Any] = {name: _open(folder, name) for name in FACTORS}
        opened |= {name: manifest.factors[name] for name in CONSTANTS}
        content["factors"] = FactorSpace(**opened)
    arrays = ModelArrays(**content)
    index = IdIndex(arrays.users, *(_open(folder, name) for name in INDEX))
    check_arrays(folder, arrays, index)
    return FittedModel(manifest, arrays, index)


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
