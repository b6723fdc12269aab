"""Checks of parsed JSON values."""


def is_number(value: object) -> bool:
    """Return True if a value is a number.

    >>> is_number(1), is_number(True), is_number("1")
    (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)
