"""Genres of the synthetic catalog: their frequencies, and their positions on scales such as dark to light."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from marquee.array_types import Float64Array

GenreCodes: TypeAlias = npt.NDArray[np.int8]  # (n_items, 3), indices into GENRE_NAMES, else NO_GENRE

# name: (relative frequency; light > 0 > dark, fantastic > 0 > real, loud > 0 > quiet, for children > 0)
_GENRES: dict[str, tuple[float, float, float, float, float]] = {
    "Action": (14, -0.2, 0.2, 1.0, 0.2),
    "Adventure": (9, 0.3, 0.6, 0.8, 0.5),
    "Animation": (4, 0.7, 0.9, 0.1, 1.0),
    "Children": (5, 0.9, 0.6, 0.1, 1.2),
    "Comedy": (22, 1.1, -0.2, 0.0, 0.1),
    "Crime": (8, -0.8, -0.5, 0.5, -0.6),
    "Documentary": (4, -0.1, -1.3, -0.7, -0.3),
    "Drama": (30, -0.4, -0.7, -0.7, -0.5),
    "Fantasy": (4, 0.4, 1.2, 0.2, 0.6),
    "Film-Noir": (2, -1.0, -0.3, -0.2, -1.0),
    "Horror": (7, -1.0, 0.9, 0.4, -0.6),
    "Musical": (3, 1.0, 0.3, -0.1, 0.5),
    "Mystery": (4, -0.7, 0.1, -0.2, -0.5),
    "Romance": (13, 0.6, -0.4, -0.9, -0.1),
    "Sci-Fi": (7, -0.2, 1.2, 0.7, 0.1),
    "Thriller": (13, -0.9, -0.1, 0.6, -0.5),
    "War": (4, -0.7, -0.6, 0.5, -0.4),
    "Western": (3, 0.0, -0.2, 0.5, -0.2),
}
GENRE_NAMES = tuple(_GENRES)
NO_GENRE = -1
MAX_GENRES = 3
GENRE_COUNT_PROBABILITIES = (0.45, 0.38, 0.17)  # of one, two and three genres
_TABLE = np.array(list(_GENRES.values()))
_FREQUENCY, _POSITION = _TABLE[:, 0] / _TABLE[:, 0].sum(), _TABLE[:, 1:]


def draw_genres(n_items: int, rng: np.random.Generator) -> GenreCodes:
    """Draw one to three genres for each item, shape (n_items, 3), padded with `NO_GENRE`.

    The first genre is drawn by frequency, the others by frequency and proximity to the first.
    """
    affinity = _FREQUENCY * np.exp(np.einsum("ap,bp->ab", _POSITION, _POSITION))
    companions = np.cumsum(affinity / affinity.sum(axis=1, keepdims=True), axis=1)
    first = np.searchsorted(np.cumsum(_FREQUENCY)[:-1], rng.random(n_items))
    others = (rng.random((n_items, MAX_GENRES - 1, 1)) > companions[first][:, None, :-1]).sum(axis=2)
    codes = np.column_stack([first, others])
    n_genres = rng.choice(MAX_GENRES, size=n_items, p=GENRE_COUNT_PROBABILITIES) + 1
    is_third = np.arange(MAX_GENRES) == 2
    repeated = (codes == first[:, None]) | ((codes == codes[:, [1]]) & is_third)
    repeated[:, 0] = False
    absent = repeated | (np.arange(MAX_GENRES) >= n_genres[:, None])
    return np.where(absent, NO_GENRE, codes).astype(np.int8)


def draw_genre_directions(n_factors: int, rng: np.random.Generator) -> Float64Array:
    """Draw the direction of each genre in factor space, shape (n_genres, n_factors), variance 1 per factor.

    A random linear map takes the positions in the table to factors. No factor corresponds to a single genre,
    but similar genres stay close to each other.
    """
    directions = np.einsum("gp,pf->gf", _POSITION, rng.standard_normal((_POSITION.shape[1], n_factors)))
    centered = directions - np.einsum("g,gf->f", _FREQUENCY, directions)
    std: Float64Array = np.sqrt(np.einsum("g,gf->f", _FREQUENCY, centered**2))
    unit: Float64Array = centered / np.maximum(std, 1e-9)
    return unit


def mean_genre_direction(codes: GenreCodes, directions: Float64Array) -> Float64Array:
    """Return the mean direction of each item's genres, scaled to keep variance 1; (n_items, n_factors)."""
    present = codes != NO_GENRE
    total = (directions[codes] * present[:, :, None]).sum(axis=1)
    scaled_mean: Float64Array = total / np.sqrt(present.sum(axis=1))[:, None]
    return scaled_mean
