"""Columns of the interactions table and the items table.

    interactions   user (str) | item (str) | rating (float32) | timestamp (int64, UTC seconds; may be absent)
    items          item (str) | title (str) | genres (str, joined by "|")

Rows stay in source order, which determines inner ids and the order in which stochastic gradient descent
visits ratings.
"""

USER, ITEM, RATING, TIMESTAMP = "user", "item", "rating", "timestamp"
TITLE, GENRES = "title", "genres"
INTERACTION_COLUMNS = (USER, ITEM, RATING, TIMESTAMP)
ITEM_COLUMNS = (ITEM, TITLE, GENRES)
GENRE_SEPARATOR = "|"
