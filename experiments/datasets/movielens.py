"""What GroupLens publishes: names, checksums, members and formats, as data.

Checksums are those that GroupLens publishes beside each archive. `ml-latest-small` is replaced
from time to time, so its checksum is fetched with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from marquee.interactions.matrix import GENRES, ITEM, RATING, TIMESTAMP, TITLE, USER

BASE_URL = "https://files.grouplens.org/datasets/movielens"
COMMA = ","


@dataclass(frozen=True)
class Layout:
    """How a delimited text file is read.

    `columns` maps our names to the file's: its header's names, or column numbers from 1. Where
    `quoted` is false a quotation mark is a character like any other. `flags` are the file's last
    columns where each is a 0 or 1 for one genre.
    """

    columns: Mapping[str, str]
    separator: str = COMMA
    header: bool = True
    encoding: str = "utf-8"
    quoted: bool = True
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """One published archive; `folder` is the one inside the zip, `md5` is None where it changes."""

    name: str
    md5: str | None
    folder: str
    ratings_member: str
    items_member: str
    ratings: Layout
    items: Layout
    scale: tuple[float, float] = field(default=(0.5, 5.0))

    @property
    def archive(self) -> str:
        """File name of the archive."""
        return f"{self.name}.zip"


GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip

WHOLE_STARS = (1.0, 5.0)
NUMBERED = {USER: "1", ITEM: "2", RATING: "3", TIMESTAMP: "4"}
NAMED = {USER: "userId", ITEM: "movieId", RATING: "rating", TIMESTAMP: "timestamp"}
FLAGGED = {ITEM: "1", TITLE: "2"} | {genre: str(6 + n) for n, genre in enumerate(GENRES_100K)}

TAB_RATINGS = Layout(NUMBERED, separator="\t", header=False, quoted=False)
BAR_ITEMS = Layout(FLAGGED, "|", header=False, encoding="latin-1", quoted=False, flags=GENRES_100K)
CSV_RATINGS = Layout(NAMED)
CSV_ITEMS = Layout({ITEM: "movieId", TITLE: "title", GENRES: "genres"})


def _colons(encoding: str) -> tuple[Layout, Layout]:
    """The `::` files of 1M and 10M."""
    items = {ITEM: "1", TITLE: "2", GENRES: "3"}
    return (
        Layout(NUMBERED, separator="::", header=False, encoding=encoding, quoted=False),
        Layout(items, separator="::", header=False, encoding=encoding, quoted=False),
    )


def _csv(name: str, md5: str | None) -> Dataset:
    """The archives since 20M: two CSV files with headers, half stars."""
    return Dataset(name, md5, name, "ratings.csv", "movies.csv", CSV_RATINGS, CSV_ITEMS)


_ALL = (
    Dataset(
        "ml-100k", "0e33842e24a9c977be4e0107933c0723", "ml-100k",
        "u.data", "u.item", TAB_RATINGS, BAR_ITEMS, WHOLE_STARS,
    ),
    Dataset(
        "ml-1m", "c4d9eecfca2ab87c1945afe126590906", "ml-1m",
        "ratings.dat", "movies.dat", *_colons("latin-1"), WHOLE_STARS,
    ),
    Dataset(
        "ml-10m", "ce571fd55effeba0271552578f2648bd", "ml-10M100K",
        "ratings.dat", "movies.dat", *_colons("utf-8"),
    ),
    _csv("ml-20m", "cd245b17a1ae2cc31bb14903e1204af3"),
    _csv("ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada"),
    _csv("ml-32m", "d472be332d4daa821edc399621853b57"),
    _csv("ml-latest-small", None),
)  # fmt: skip

DATASETS: Mapping[str, Dataset] = {dataset.name: dataset for dataset in _ALL}
