"""The table of items: an invented film title with its year for each, and its genres."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from marquee.arrays import Indices
from marquee.interactions.matrix import GENRE_SEPARATOR, GENRES, ITEM, TITLE
from marquee.seeds import rng_for
from marquee.synthetic.genres import GENRE_NAMES, NO_GENRE
from marquee.synthetic.ground_truth import GroundTruth
from marquee.synthetic.words import ADJECTIVES, GENRE_NOUNS, NAMES, PLACES, SHARED_NOUNS

OLDEST_YEAR = 1925
TYPICAL_AGE = 13  # years that a film is old when the log begins

_TEMPLATES = (  # (weight, words); N and O a noun of the genre and a shared one, either way round
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


def item_table(truth: GroundTruth) -> pd.DataFrame:
    """Item, title and genres of every item, in the order of the truth's arrays; each title is one item's."""
    years = _years(truth)
    bases = list(_bases(truth.item_genres[:, 0].tolist(), truth.seed))
    names = [
        GENRE_SEPARATOR.join(GENRE_NAMES[code] for code in sorted(codes) if code != NO_GENRE)
        for codes in truth.item_genres.tolist()
    ]
    return pd.DataFrame(
        {ITEM: truth.item_ids, TITLE: _with_sequels(bases, years), GENRES: names}, dtype="str"
    )


def _years(truth: GroundTruth) -> Indices:
    """Year of each film: of its appearance, or earlier where it was there from the start."""
    appeared = truth.item_appeared.astype("datetime64[s]").astype("datetime64[Y]").astype(np.int64) + 1970
    age = rng_for(truth.seed, "synthetic", "years").exponential(TYPICAL_AGE, len(appeared)).astype(np.int64)
    old = truth.item_appeared == truth.spec.start
    return np.where(old, np.maximum(appeared - 1 - age, OLDEST_YEAR), appeared)


def _bases(genres: list[int], seed: int) -> Iterator[str]:
    """A title of each item's first genre; now and then two items draw the same."""
    rng = rng_for(seed, "synthetic", "titles")
    templates = rng.choice(len(_TEMPLATES), size=len(genres), p=_WEIGHTS / _WEIGHTS.sum())
    for genre, template, draw in zip(genres, templates, rng.random((len(genres), 6)), strict=True):
        nouns = GENRE_NOUNS[GENRE_NAMES[genre]]
        one, other = (nouns, SHARED_NOUNS) if draw[0] < 0.7 else (SHARED_NOUNS, nouns)
        words = _TEMPLATES[template][1].format(
            N=_pick(one, draw[1]),
            O=_pick(other, draw[2]),
            A=_pick(ADJECTIVES, draw[3]),
            A2=_pick(ADJECTIVES, 1 - draw[2]),
            P=_pick(PLACES, draw[4]),
            M=_pick(NAMES, draw[5]),
        )
        yield _spelled(words)


def _pick(words: tuple[str, ...], share: float) -> str:
    return words[min(int(share * len(words)), len(words) - 1)]


def _spelled(words: str) -> str:
    """Mend the article, and begin with a capital."""
    article = "An " if words[:2] == "A " and words[2] in "AEIOU" else words[:2]
    return article[0].upper() + article[1:] + words[2:]


def _with_sequels(bases: list[str], years: Indices) -> list[str]:
    """Put the year behind each title; of films of one name, the later are sequels (II, III, ...)."""
    titles, told = [""] * len(bases), dict[str, int]()
    for row in np.argsort(years, kind="stable").tolist():
        part = told[bases[row]] = told.get(bases[row], 0) + 1
        sequel = f" {_roman(part)}" if part > 1 else ""
        titles[row] = f"{bases[row]}{sequel} ({years[row]})"
    return titles


def _roman(number: int) -> str:
    text = ""
    for value, letters in _NUMERALS:
        text += letters * (number // value)
        number %= value
    return text
