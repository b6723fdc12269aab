"""Quality of the pipeline's lists, and speed of rankers and of lists for everybody.

    python -m benchmarks.ranking [--quick] [--only NAME] [--json FILE]

    choice         NDCG@10 of what the pipeline chooses; peer: the best ALS of implicit; time of the search
    iALS           time to the NDCG@10 of implicit's ALS
    item k-NN      fit and lists; peers: implicit and LensKit
    EASE           fit; peers: LensKit, and the formula in NumPy (RecTools)
    large EASE     27,000 items and 20 million interactions
    large iALS     20 million interactions, beside a million
    computed live  lists of users with new feedback, at 500 requests/s
    overlap        lists after five new interactions, beside those of a refit
    batch          `marquee recommend`
    algorithms     every ranker of the registry

A random 20% of the interactions are held out. Held-out ratings of 4 or more are hits; without the rating
column, all held-out items are. Lists are ranked over the full catalog without the training items of the user,
and NDCG@10 is a mean over users with a hit. Hyperparameters are chosen on validation parts of the other 80%,
except those of implicit, which are chosen on the held-out 20%. MovieLens is read from MARQUEE_DATA_DIR.
LensKit is measured if `make .venv-peers` was run.
"""

import sys
from collections.abc import Iterator
from typing import Protocol

from benchmarks.command_line import Part, run_benchmark
from benchmarks.machine import available_cores
from benchmarks.ranking.algorithms import measure_algorithms
from benchmarks.ranking.batch import measure_batch
from benchmarks.ranking.freshness import measure_overlap
from benchmarks.ranking.large_jobs import measure_large_ease, measure_large_ials
from benchmarks.ranking.pipeline_choice import measure_choices
from benchmarks.ranking.speed import measure_ease, measure_ials, measure_item_knn
from benchmarks.result_rows import ResultRow
from benchmarks.serving.__main__ import measure_live_latency


class Measurement(Protocol):
    """Function that measures the rows of a part."""

    def __call__(self, *, is_quick: bool) -> Iterator[ResultRow]:
        """Yield the rows."""


def _part(measure: Measurement) -> Part:
    """Return a measurement as a part of a benchmark, whose argument is a share of the full work."""
    return lambda share: measure(is_quick=share < 1)


PARTS: dict[str, Part] = {
    "choice": _part(measure_choices),
    "iALS": _part(measure_ials),
    "item k-NN": _part(measure_item_knn),
    "EASE": _part(measure_ease),
    "large EASE": _part(measure_large_ease),
    "large iALS": _part(measure_large_ials),
    "computed live": lambda share: [measure_live_latency(share)],
    "overlap": _part(measure_overlap),
    "batch": _part(measure_batch),
    "algorithms": _part(measure_algorithms),
}

if __name__ == "__main__":
    about = f", {len(available_cores(2))} threads"
    sys.exit(run_benchmark("python -m benchmarks.ranking", __doc__, PARTS, about))
