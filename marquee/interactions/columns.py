"""Columns of the interactions table and the items table.

    interactions   user (str) | item (str) | rating or weight (float32) | timestamp (int64, UTC seconds)
    items          item (str) | title (str) | genres (str, joined by "|")

Interactions have either a rating (explicit feedback) or a weight (implicit feedback). All rows have a
timestamp, or none has. Rows stay in source order: stochastic gradient descent visits ratings in that order.
"""

USER, ITEM, RATING, WEIGHT, TIMESTAMP = "user", "item", "rating", "weight", "timestamp"
TITLE, GENRES = "title", "genres"
RATING_COLUMNS = (USER, ITEM, RATING, TIMESTAMP)
ITEM_COLUMNS = (ITEM, TITLE, GENRES)
GENRE_SEPARATOR = "|"
