"""The MovieLens releases of GroupLens: names, checksums, members and formats.

The checksums are those that GroupLens publishes beside each archive. `ml-latest-small` is updated from time
to time, so its checksum is downloaded with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.datasets.table_format import TableFormat
from marquee.interactions.columns import GENRES, ITEM, RATING, TIMESTAMP, TITLE, USER

BASE_URL = "https://files.grouplens.org/datasets/movielens"


@dataclass(frozen=True)
class MovieLensRelease:
    """One published archive with a ratings file and an items file."""

    name: str
    md5: str | None  # None: published beside the archive, because it changes
    folder: str  # folder of all members in the archive
    interactions_member: str  # path in that folder; the same for the items
    items_member: str
    interactions: TableFormat
    items: TableFormat
    scale: tuple[float, float] = (0.5, 5.0)

    @property
    def archive_name(self) -> str:
        """File name of the archive."""
        return f"{self.name}.zip"


GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
FIRST_GENRE_COLUMN_100K = 6

WHOLE_STARS = (1.0, 5.0)
RATING_NUMBERS = {USER: "1", ITEM: "2", RATING: "3", TIMESTAMP: "4"}
RATING_NAMES = {USER: "userId", ITEM: "movieId", RATING: "rating", TIMESTAMP: "timestamp"}
ITEM_NAMES = {ITEM: "movieId", TITLE: "title", GENRES: "genres"}
ITEM_NUMBERS = {ITEM: "1", TITLE: "2", GENRES: "3"}
ITEM_NUMBERS_100K = {ITEM: "1", TITLE: "2"} | {
    genre: str(number) for number, genre in enumerate(GENRES_100K, start=FIRST_GENRE_COLUMN_100K)
}


def _plain_text_format(
    columns: Mapping[str, str], separator: str, encoding: str = "utf-8", genre_flags: tuple[str, ...] = ()
) -> TableFormat:
    """Return the format used up to MovieLens 10M: no header, and no quotation marks."""
    return TableFormat(
        columns, separator, header=False, encoding=encoding, quoted=False, genre_flags=genre_flags
    )


def _csv_release(name: str, md5: str | None) -> MovieLensRelease:
    """Return a release in the format used since MovieLens 20M: two CSV files with headers, half stars."""
    formats = TableFormat(RATING_NAMES), TableFormat(ITEM_NAMES)
    return MovieLensRelease(name, md5, name, "ratings.csv", "movies.csv", *formats)


_ALL_RELEASES = (
    MovieLensRelease(
        "ml-100k", "0e33842e24a9c977be4e0107933c0723", "ml-100k", "u.data", "u.item",
        _plain_text_format(RATING_NUMBERS, "\t"),
        _plain_text_format(ITEM_NUMBERS_100K, "|", "latin-1", GENRES_100K),
        WHOLE_STARS,
    ),
    MovieLensRelease(
        "ml-1m", "c4d9eecfca2ab87c1945afe126590906", "ml-1m", "ratings.dat", "movies.dat",
        _plain_text_format(RATING_NUMBERS, "::", "latin-1"),
        _plain_text_format(ITEM_NUMBERS, "::", "latin-1"),
        WHOLE_STARS,
    ),
    MovieLensRelease(
        "ml-10m", "ce571fd55effeba0271552578f2648bd", "ml-10M100K", "ratings.dat", "movies.dat",
        _plain_text_format(RATING_NUMBERS, "::"),
        _plain_text_format(ITEM_NUMBERS, "::"),
    ),
    _csv_release("ml-20m", "cd245b17a1ae2cc31bb14903e1204af3"),
    _csv_release("ml-25m", "6b51fb2759a8657d3bfcbfc42b592ada"),
    _csv_release("ml-32m", "d472be332d4daa821edc399621853b57"),
    _csv_release("ml-latest-small", None),
)  # fmt: skip

RELEASES: Mapping[str, MovieLensRelease] = {release.name: release for release in _ALL_RELEASES}
