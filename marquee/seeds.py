"""Seeds of all random generators, derived from one root seed and a name."""

import hashlib
from typing import TypeAlias

import numpy as np

SeedKey: TypeAlias = str | int


def seed_for(root: int, *keys: SeedKey) -> int:
    """Return the seed of one use, in [0, 2**31); equal for equal root and keys.

    Keys are hashed with SHA-256, so a new use does not shift the seeds of others, as drawing all seeds from
    one generator would.

    >>> seed_for(42, "search", "svd", 0)
    252908068
    """
    text = "\x1f".join(f"{type(key).__name__}:{key}" for key in (root, *keys))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def rng_for(root: int, *keys: SeedKey) -> np.random.Generator:
    """Return a generator seeded with `seed_for`."""
    return np.random.default_rng(seed_for(root, *keys))
