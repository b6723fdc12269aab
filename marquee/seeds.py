"""One root seed, and below it a seed for every use, derived from the use's name."""

import hashlib

import numpy as np

Key = str | int


def seed_for(root: int, *keys: Key) -> int:
    """Seed of one use, in [0, 2**31): the same for the same root and keys, unrelated to its neighbours.

    The keys are hashed (SHA-256 over their unambiguous text), so a new use never shifts the
    seeds of the others, which drawing seeds from one stream would do.

    >>> seed_for(42, "search", "svd", 0) == seed_for(42, "search", "svd", 0)
    True
    """
    text = "\x1f".join(f"{type(key).__name__}:{key}" for key in (root, *keys))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def rng_for(root: int, *keys: Key) -> np.random.Generator:
    """Generator of one use, seeded by `seed_for`."""
    return np.random.default_rng(seed_for(root, *keys))
