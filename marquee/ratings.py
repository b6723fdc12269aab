"""The ratings table and `RatingMatrix`, its compressed form: the names and orders everybody agrees on.

    ratings   user (str) | item (str) | rating (float32) | timestamp (int64, UTC seconds; all rows or none)
    items     item (str) | title (str) | genres (str, joined by "|")

Source order is kept everywhere: it is the order in which stochastic gradient descent visits ratings.
"""

USER, ITEM, RATING, TIMESTAMP = "user", "item", "rating", "timestamp"
TITLE, GENRES = "title", "genres"
RATING_COLUMNS = (USER, ITEM, RATING, TIMESTAMP)
ITEM_COLUMNS = (ITEM, TITLE, GENRES)
GENRE_SEPARATOR = "|"
