"""Hashes of inner ids: pseudorandom numbers that depend on nothing but the ids and a seed.

They order equal scores (`marquee.top_n`) and sample users. Unlike numbers from a generator, they depend
neither on the order nor on the number of calls.

Source: the finalizer of SplitMix64; Steele, Lea and Flood (2014), Fast Splittable Pseudorandom Number
Generators. `marquee.algorithms.kernels.top_n_heaps` has a compiled version.
"""

import numpy as np
import numpy.typing as npt

from marquee.array_types import UInt64Array

INCREMENT = 0x9E3779B97F4A7C15  # added to a key, so that the hash of 0 is not 0
MULTIPLIERS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
SHIFTS = 30, 27, 31
HALF_BITS = 32  # bits of a key for each of the two ids


def hash_pairs(first: npt.ArrayLike, second: npt.ArrayLike) -> UInt64Array:
    """Return a number for each pair of non-negative 32-bit ids; different pairs have different numbers.

    >>> hash_pairs([0, 0, 1], [0, 1, 0]).tolist()
    [16294208416658607535, 10451216379200822465, 14135772400868000056]
    """
    upper = np.asarray(first).astype(np.uint64) << np.uint64(HALF_BITS)
    key = np.atleast_1d(upper | np.asarray(second).astype(np.uint64)) + np.uint64(INCREMENT)
    key = (key ^ (key >> np.uint64(SHIFTS[0]))) * np.uint64(MULTIPLIERS[0])
    key = (key ^ (key >> np.uint64(SHIFTS[1]))) * np.uint64(MULTIPLIERS[1])
    return np.asarray(key ^ (key >> np.uint64(SHIFTS[2])))
