"""Seeds of all random generators, derived from one root seed and a name."""

import hashlib
from typing import TypeAlias

import numpy as np

SeedKey: TypeAlias = str | int


def seed_for(root: int, *keys: SeedKey) -> int:
    """Return the seed for one purpose, in [0, 2**31), which depends on the root seed and the keys only.

    Keys are hashed with SHA-256, so a new purpose does not change the seeds of others, as it would if all
    seeds were drawn from one generator.

    >>> seed_for(42, "search", "svd", 0)
    252908068
    """
    text = "\x1f".join(f"{type(key).__name__}:{key}" for key in (root, *keys))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def rng_for(root: int, *keys: SeedKey) -> np.random.Generator:
    """Return a generator seeded with `seed_for`."""
    return np.random.default_rng(seed_for(root, *keys))
