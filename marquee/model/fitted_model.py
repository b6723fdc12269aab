"""FittedModel: the served artifact, a folder of arrays that processes map into memory.

    manifest.json                            description, and a digest per file (`marquee.model.manifest`)
    top_items.npy, top_scores.npy            (n_users, n) stored list of each user, best first, padded
    popular_items.npy, popular_counts.npy    (n_items,) all items by number of interactions
    seen_indptr.npy, seen_items.npy          items that each user chose in training, as CSR
    seen_values.npy                          rating or weight of each of them, as seen_items
    similar_items.npy, similarities.npy      (n_items, m) items of the same users, padded
    group_items.npy                          (n_genres, m) popular items of users who favor a genre, padded
    users_*, items_*, titles_*, genres_*     string tables: text and offsets (`marquee.model.string_table`)
    attributes_*                             string table (`marquee.model.item_attributes`), if items have any
    users_keys.npy, users_order.npy          (n_users,) index of user ids (`marquee.model.id_index`)
    recommender_*.npy                        what the recommender scores items from (`marquee.model.scorers`)
    predictor_*.npy                          factors of the predictor, unless the recommender is the predictor

Users and items of the training data are known to the model, and no stored list contains an item that its user
interacted with, unless repeats are allowed. Files are never unpickled, so loading a model runs no code from
it.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from marquee.array_types import AnyArray
from marquee.errors import ModelError
from marquee.files.atomic_write import replace_folder
from marquee.files.digest import sha256_of
from marquee.model.genre_affinity import GenreAffinity
from marquee.model.id_index import IdIndex
from marquee.model.item_attributes import ItemAttributes, decode_attributes
from marquee.model.manifest import MANIFEST_NAME, Manifest, read_manifest, verify_files
from marquee.model.model_arrays import (
    ARRAYS,
    ATTRIBUTES,
    INDEX_ARRAYS,
    SCORERS,
    STRING_TABLES,
    ModelArrays,
    check_arrays,
    iter_named_arrays,
)
from marquee.model.rating_predictor import RatingPrediction, RatingPredictor
from marquee.model.scorers.rating_factors import RatingFactors
from marquee.model.scorers.similar_items import SimilarItemsScorer
from marquee.model.scorers.stored_scorer import StoredScorer, describe_scorer, restore_scorer
from marquee.model.string_table import StringTable
from marquee.top_n import PADDING


class FittedModel:
    """A fitted model, opened by `load_model`. Users and items are inner ids unless stated otherwise.

    Attributes:
        manifest: description of the model.
        arrays: content of the model, read-only and memory-mapped.
        genre_affinity: genres of the catalog, and the favorite genre of a user.
        scorer: scores all items by the recommender; None if the model stores too little for that.
        similar_items_scorer: scores all items by what a user liked, for what `scorer` cannot score.
        predictor: predicts ratings; None if the model has no predictor.
    """

    def __init__(self, manifest: Manifest, arrays: ModelArrays, user_index: IdIndex) -> None:
        self.manifest = manifest
        self.arrays = arrays
        training = arrays.training
        self.scorer = None if arrays.recommender is None else arrays.recommender.create_scorer(training)
        self.similar_items_scorer = SimilarItemsScorer(
            arrays.similar_items, arrays.similarities, training, manifest.liked_from
        )
        self.predictor = _create_predictor(manifest, arrays)
        self._user_index = user_index
        self._inner_item_ids = arrays.items.positions_by_string()
        counts = np.empty(len(arrays.items), dtype=np.int64)
        counts[arrays.popular_items] = arrays.popular_counts
        self.genre_affinity = GenreAffinity.from_item_genres(arrays.genres, counts)
        n_genres = len(self.genre_affinity.genres)
        if len(arrays.group_items) != n_genres:
            raise ModelError(
                f"group_items.npy has {len(arrays.group_items)} rows, expected one for each of "
                f"{n_genres} genres; export the model again"
            )

    @cached_property
    def item_attributes(self) -> ItemAttributes:
        """Genres and further attributes of the items.

        Raises:
            ModelError: the attributes are damaged.
        """
        try:
            return decode_attributes(list(self.arrays.genres), self.arrays.attributes)
        except ValueError as error:
            raise ModelError(f"{ATTRIBUTES}_text.npy is damaged ({error}); export the model again") from None

    @property
    def digest(self) -> str:
        """Digest of the whole model."""
        return self.manifest.digest

    def inner_user_id(self, user: str) -> int | None:
        """Return the inner id of a user id, or None if the user is unknown."""
        return self._user_index.inner_id(user)

    def inner_item_id(self, item: str) -> int | None:
        """Return the inner id of an item id, or None if the item is unknown."""
        return self._inner_item_ids.get(item)

    def stored_list(self, user: int) -> list[tuple[int, float]]:
        """Return items and scores of a user's stored list, best first."""
        items, scores = self.arrays.top_items[user].tolist(), self.arrays.top_scores[user].tolist()
        return [(item, score) for item, score in zip(items, scores, strict=True) if item != PADDING]

    def seen_items(self, user: int) -> set[int]:
        """Return the items that a user interacted with in training."""
        return set(self.arrays.training.items_of(user).tolist())

    def similar_items(self, item: int) -> list[tuple[int, float]]:
        """Return items of the same users, with their similarities, most similar first."""
        items, values = self.arrays.similar_items[item].tolist(), self.arrays.similarities[item].tolist()
        return [(other, value) for other, value in zip(items, values, strict=True) if other != PADDING]

    def popular_items_for_favorite_genre(self, genre: int) -> list[int]:
        """Return the most popular items of users with this favorite genre, most popular first."""
        return [item for item in self.arrays.group_items[genre].tolist() if item != PADDING]

    def popular_items(self) -> Iterator[tuple[int, int]]:
        """Yield all items with their numbers of interactions, most popular first."""
        items, counts = self.arrays.popular_items.tolist(), self.arrays.popular_counts.tolist()
        return zip(items, counts, strict=True)

    def popularity_shares(self) -> dict[str, float]:
        """Return each item's share of all interactions, by item id."""
        counts = {self.arrays.items[item]: count for item, count in self.popular_items()}
        total = max(sum(counts.values()), 1)
        return {item: count / total for item, count in counts.items()}

    def recommend(self, user: str, n: int = 10) -> list[str]:
        """Return up to n item ids for a user id: the stored list of a known user, then popular items."""
        inner_id = self.inner_user_id(user)
        stored = [] if inner_id is None else [item for item, _ in self.stored_list(inner_id)]
        excluded = set(stored)
        if inner_id is not None and not self.manifest.repeats_allowed:
            excluded |= self.seen_items(inner_id)
        popular = (item for item, _ in self.popular_items() if item not in excluded)
        return [self.arrays.items[item] for item in islice(chain(stored, popular), n)]

    def predict_rating(self, user: str, item: str) -> RatingPrediction:
        """Predict the rating of an item by a user; both are ids, and may be unknown.

        Raises:
            ModelError: the model has no predictor.
        """
        if self.predictor is None:
            raise ModelError(f"the model predicts no ratings: {self.manifest.describe_missing_predictor()}")
        return self.predictor.predict(self.inner_user_id(user), self.inner_item_id(item))


def write_model(folder: Path, arrays: ModelArrays, description: Mapping[str, Any]) -> Manifest:
    """Write a model folder atomically.

    Args:
        folder: path of the model; an existing folder is replaced.
        arrays: content of the model.
        description: fields of the manifest except `counts`, `files` and `scorers`.

    Raises:
        ModelError: the arrays do not fit together.
    """
    index = IdIndex.from_strings(arrays.users)
    check_arrays(folder, arrays, index)
    with replace_folder(folder) as new_folder:
        for name, array in iter_named_arrays(arrays, index):
            np.save(new_folder / f"{name}.npy", array, allow_pickle=False)
        files = {path.name: sha256_of(path) for path in sorted(new_folder.glob("*.npy"))}
        manifest = Manifest(
            **description, counts=_counts(arrays), files=files, scorers=_describe_scorers(arrays)
        )
        (new_folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def load_model(folder: Path | str) -> FittedModel:
    """Open a model folder with memory-mapped arrays, after checking every file against the manifest.

    Raises:
        ModelError: the folder is not a model, has an unsupported schema version, or is damaged; the message
            names the file.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    tables = (*STRING_TABLES, ATTRIBUTES) if f"{ATTRIBUTES}_text.npy" in manifest.files else STRING_TABLES
    contents: dict[str, Any] = {name: _open_string_table(folder, name) for name in tables}
    contents |= {name: _open_array(folder, name) for name in ARRAYS}
    contents |= {name: _open_scorer(folder, name, manifest.scorers[name]) for name in manifest.scorers}
    arrays = ModelArrays(**contents)
    index = IdIndex(arrays.users, *(_open_array(folder, name) for name in INDEX_ARRAYS))
    check_arrays(folder, arrays, index)
    return FittedModel(manifest, arrays, index)


def _open_string_table(folder: Path, name: str) -> StringTable:
    return StringTable(_open_array(folder, f"{name}_text"), _open_array(folder, f"{name}_offsets"))


def _open_scorer(folder: Path, attribute: str, description: Mapping[str, Any]) -> StoredScorer:
    return restore_scorer(description, lambda name: _open_array(folder, f"{attribute}_{name}"))


def _open_array(folder: Path, name: str) -> AnyArray:
    """Map an array into memory. Unlike `np.load`, `open_memmap` cannot read pickles or archives."""
    path = folder / f"{name}.npy"
    try:
        # As a plain view, because each access to a `memmap` itself costs a microsecond more.
        array: AnyArray = np.asarray(np.lib.format.open_memmap(path, mode="r"))
    except FileNotFoundError:
        raise ModelError(f"{path} is missing; export the model again") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is not a plain array ({error}); export the model again") from None
    return array


def _describe_scorers(arrays: ModelArrays) -> dict[str, dict[str, Any]]:
    """Return the manifest entry of each stored scorer, by attribute of `ModelArrays`."""
    stored = {attribute: getattr(arrays, attribute) for attribute in SCORERS}
    return {name: describe_scorer(scorer) for name, scorer in stored.items() if scorer is not None}


def _create_predictor(manifest: Manifest, arrays: ModelArrays) -> RatingPredictor | None:
    if manifest.predictor is None or manifest.scale is None or manifest.global_mean is None:
        return None
    stored = arrays.recommender if manifest.has_shared_recipe else arrays.predictor
    scorer = stored.create_scorer(arrays.training) if isinstance(stored, RatingFactors) else None
    return RatingPredictor(scorer, manifest.scale, manifest.global_mean)


def _counts(arrays: ModelArrays) -> dict[str, int]:
    return {
        "users": len(arrays.users),
        "items": len(arrays.items),
        "interactions": len(arrays.seen_items),
        "top_n": int(arrays.top_items.shape[1]),
    }
