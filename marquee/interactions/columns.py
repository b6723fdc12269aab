"""Columns of the interactions table and the items table.

    ratings   user (str) | item (str) | rating (float32) | timestamp (int64, UTC seconds; all rows or none)
    items     item (str) | title (str) | genres (str, joined by "|")

Rows stay in source order: stochastic gradient descent visits ratings in that order.
"""

USER, ITEM, RATING, TIMESTAMP = "user", "item", "rating", "timestamp"
TITLE, GENRES = "title", "genres"
RATING_COLUMNS = (USER, ITEM, RATING, TIMESTAMP)
ITEM_COLUMNS = (ITEM, TITLE, GENRES)
GENRE_SEPARATOR = "|"
