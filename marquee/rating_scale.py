"""Positions on a rating scale, such as the rating from which a user liked an item."""

from marquee.array_types import RatingScale

LIKED_SHARE = 0.75  # part of the way up the scale from which a user liked an item


def find_rating(scale: RatingScale, share: float) -> float:
    """Return the rating that is this part of the way up a scale.

    >>> find_rating((1.0, 5.0), 0.25)
    2.0
    """
    low, high = scale
    return low + share * (high - low)


def find_liked_rating(scale: RatingScale) -> float:
    """Return the lowest rating of an item that a user liked.

    >>> find_liked_rating((1.0, 5.0))
    4.0
    """
    return find_rating(scale, LIKED_SHARE)
