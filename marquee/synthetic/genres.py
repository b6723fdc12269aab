"""The genres: how frequent each is, and where it lies between light and dark, real and fantastic."""

import numpy as np

from marquee.arrays import Floats
from marquee.synthetic.ground_truth import Codes

# name: (relative frequency; light > 0 > dark, fantastic > 0 > real, loud > 0 > quiet, for the young > 0)
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
_TABLE = np.array(list(_GENRES.values()))
_FREQUENCY, _PLACES = _TABLE[:, 0] / _TABLE[:, 0].sum(), _TABLE[:, 1:]


def draw_genres(n_items: int, rng: np.random.Generator) -> Codes:
    """Codes of one to three genres an item, shape (n_items, 3), `NO_GENRE` where there is none.

    The first is drawn by frequency, the others by frequency among its neighbours.
    """
    neighbourly = _FREQUENCY * np.exp(_PLACES @ _PLACES.T)
    companions = np.cumsum(neighbourly / neighbourly.sum(axis=1, keepdims=True), axis=1)
    first = np.searchsorted(np.cumsum(_FREQUENCY)[:-1], rng.random(n_items))
    others = (rng.random((n_items, 2, 1)) > companions[first][:, None, :-1]).sum(axis=2)
    codes = np.column_stack([first, others])
    wanted = rng.choice(MAX_GENRES, size=n_items, p=[0.45, 0.38, 0.17]) + 1
    repeated = (codes == first[:, None]) | (codes == codes[:, [1]]) & (np.arange(3) == 2)
    repeated[:, 0] = False
    absent = repeated | (np.arange(MAX_GENRES) >= wanted[:, None])
    return np.where(absent, NO_GENRE, codes).astype(np.int8)


def genre_directions(n_factors: int, rng: np.random.Generator) -> Floats:
    """Direction of each genre in factor space, shape (n_genres, n_factors), unit variance a factor.

    The hand-made places are turned at random, so that no factor is a genre, yet neighbours stay so.
    """
    directions = _PLACES @ rng.standard_normal((_PLACES.shape[1], n_factors))
    centred = directions - _FREQUENCY @ directions
    spread: Floats = np.sqrt(_FREQUENCY @ centred**2)
    unit: Floats = centred / np.maximum(spread, 1e-9)
    return unit


def mean_direction(codes: Codes, directions: Floats) -> Floats:
    """Mean direction of each item's genres, scaled to keep its variance, shape (n_items, n_factors)."""
    present = codes != NO_GENRE
    total = (directions[codes] * present[:, :, None]).sum(axis=1)
    mean: Floats = total / np.sqrt(present.sum(axis=1))[:, None]
    return mean
