"""Simulations of the protocol: what the choice of a recommender loses, and how certain it is.

    python -m benchmarks.protocol [--quick] [--only NAME] [--json FILE]

    choice loss       loss of test NDCG@10 against the best of a grid; peer: three folds of cross-validation
    factor ladder     the same for models that differ only in their number of factors
    coverage          95% intervals that contain the truth, and the factor of the standard error
    power             differences of 2% that are found with 600 users; peer: intervals over parts
    half-width        width of intervals on MovieLens 1M
    selection         choices that are truly more than 1% worse than the best; peer: one standard error
    racing            fits that a race needs, and how often it has the winner of all fits
    constant scorer   NDCG@10 of equal scores; peer: random lists
    truth             agreement of NDCG@10 with the ground truth of synthetic data; peer: RMSE

The ratings are those of MovieLens 100K and 1M in MARQUEE_DATA_DIR. Values by user are kept in the folder for
temporary files, so a second run takes a minute.
"""

import sys

from benchmarks.command_line import Part, run_benchmark
from benchmarks.protocol.choice_loss import measure_choice_loss, measure_factor_loss
from benchmarks.protocol.constant_scorer import measure_constant_scorer
from benchmarks.protocol.half_width import measure_half_width
from benchmarks.protocol.races import measure_races
from benchmarks.protocol.selections import measure_wrong_selections
from benchmarks.protocol.truth import measure_agreement
from benchmarks.protocol.user_samples import measure_coverage, measure_power

PARTS: dict[str, Part] = {
    "choice loss": lambda share: [measure_choice_loss(share)],
    "factor ladder": lambda share: [measure_factor_loss(share)],
    "coverage": lambda share: [measure_coverage(share)],
    "power": lambda share: [measure_power(share)],
    "half-width": lambda share: [measure_half_width(share)],
    "selection": lambda share: [measure_wrong_selections(share)],
    "racing": lambda share: [measure_races(share)],
    "constant scorer": lambda share: [measure_constant_scorer(share)],
    "truth": lambda share: [measure_agreement(share)],
}

if __name__ == "__main__":
    sys.exit(run_benchmark("python -m benchmarks.protocol", __doc__, PARTS))
