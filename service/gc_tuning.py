"""Garbage collector settings of a serving process."""

import gc

THRESHOLDS = (100_000, 50, 1000)  # allocations between collections of each generation; Python's are far lower


def freeze_loaded_objects() -> None:
    """Exclude all present objects from garbage collection, and collect less often.

    Collections that traverse a whole model are the peaks in latency.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
