"""Garbage collector settings of a serving process."""

import gc

# Allocations, then collections of the next younger generation, between two collections of a generation.
THRESHOLDS = (100_000, 50, 1000)  # Python's defaults are far lower


def freeze_loaded_objects() -> None:
    """Exclude all existing objects from garbage collection, and collect less often.

    Otherwise, collections that traverse the whole model would cause latency peaks.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
