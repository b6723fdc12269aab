"""Items table of a synthetic data set: an invented movie title with a year, and genres, for each item."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from marquee.array_types import Int64Array
from marquee.interactions.columns import GENRE_SEPARATOR, GENRES, ITEM, TITLE
from marquee.seeds import rng_for
from marquee.synthetic.genres import GENRE_NAMES, NO_GENRE
from marquee.synthetic.ground_truth import GroundTruth
from marquee.synthetic.words import ADJECTIVES, GENRE_NOUNS, NAMES, PLACES, SHARED_NOUNS

OLDEST_YEAR = 1925
MEAN_AGE = 13  # of the initial items when the log starts, in years since release
GENRE_NOUN_FIRST = 0.7  # probability that {N} is a noun of the genre and {O} a shared one, not vice versa

# (weight, words); N and O: nouns, A: adjective, P: place, M: name of a person
_TEMPLATES = (
    (4, "The {A} {N}"),
    (2, "{A} {N}"),
    (3, "The {N} of {P}"),
    (2, "{M} and the {A} {N}"),
    (2, "{M} and the {N}"),
    (2, "A {N} in {P}"),
    (2, "The {N} and the {O}"),
    (2, "{M}'s {A} {N}"),
    (2, "The {A} {N} of {P}"),
    (2, "The Last {N} of {P}"),
    (1, "{M}'s {N}"),
    (1, "{N} at {P}"),
    (1, "No {N} for {M}"),
    (1, "{M} of {P}"),
    (1, "Goodbye, {A} {N}"),
    (1, "{A} {N}, {A2} {O}"),
)
_WEIGHTS = np.array([weight for weight, _ in _TEMPLATES], dtype=np.float64)
_NUMERALS = ((10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))


def generate_items(truth: GroundTruth) -> pd.DataFrame:
    """Return the items table: id, unique title and genres of each item, in the order of `truth`."""
    years = _release_years(truth)
    titles = list(_draw_titles(truth.item_genres[:, 0].tolist(), truth.seed))
    genres = [
        GENRE_SEPARATOR.join(GENRE_NAMES[code] for code in sorted(codes) if code != NO_GENRE)
        for codes in truth.item_genres.tolist()
    ]
    columns = {ITEM: truth.item_ids, TITLE: _number_sequels(titles, years), GENRES: genres}
    return pd.DataFrame(columns, dtype="str")


def _release_years(truth: GroundTruth) -> Int64Array:
    """Return the year in which each item appeared, or an earlier year if it existed when the log started."""
    appeared = truth.item_appeared_at.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970
    age = rng_for(truth.seed, "synthetic", "years").exponential(MEAN_AGE, len(appeared)).astype(np.int64)
    is_initial = truth.item_appeared_at == truth.spec.start
    return np.where(is_initial, np.maximum(appeared - 1 - age, OLDEST_YEAR), appeared)


def _draw_titles(genres: list[int], seed: int) -> Iterator[str]:
    """Draw a title for each item from the words of its first genre; titles may repeat."""
    rng = rng_for(seed, "synthetic", "titles")
    templates = rng.choice(len(_TEMPLATES), size=len(genres), p=_WEIGHTS / _WEIGHTS.sum())
    for genre, template, draw in zip(genres, templates, rng.random((len(genres), 6)), strict=True):
        genre_nouns = GENRE_NOUNS[GENRE_NAMES[genre]]
        is_genre_first = draw[0] < GENRE_NOUN_FIRST
        first, second = (genre_nouns, SHARED_NOUNS) if is_genre_first else (SHARED_NOUNS, genre_nouns)
        title = _TEMPLATES[template][1].format(
            N=_pick(first, draw[1]),
            O=_pick(second, draw[2]),
            A=_pick(ADJECTIVES, draw[3]),
            A2=_pick(ADJECTIVES, 1 - draw[2]),
            P=_pick(PLACES, draw[4]),
            M=_pick(NAMES, draw[5]),
        )
        yield _correct_start(title)


def _pick(words: tuple[str, ...], share: float) -> str:
    return words[min(int(share * len(words)), len(words) - 1)]


def _correct_start(title: str) -> str:
    """Use "An" before a vowel, and start with a capital letter."""
    start = "An " if title[:2] == "A " and title[2] in "AEIOU" else title[:2]
    return start[0].upper() + start[1:] + title[2:]


def _number_sequels(titles: list[str], years: Int64Array) -> list[str]:
    """Append the year to each title; later items with the same title become sequels (II, III, ...)."""
    numbered, n_parts = [""] * len(titles), dict[str, int]()
    for row in np.argsort(years, kind="stable").tolist():
        part = n_parts[titles[row]] = n_parts.get(titles[row], 0) + 1
        sequel = f" {_roman_numeral(part)}" if part > 1 else ""
        numbered[row] = f"{titles[row]}{sequel} ({years[row]})"
    return numbered


def _roman_numeral(number: int) -> str:
    text = ""
    for value, letters in _NUMERALS:
        text += letters * (number // value)
        number %= value
    return text
