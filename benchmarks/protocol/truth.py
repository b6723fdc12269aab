"""Agreement of NDCG@10 with what users of the synthetic data set would choose and like.

The models, their offline metrics and the truth about their lists are those of `benchmarks.synthetic`.
"""

from importlib import import_module

import numpy as np

from benchmarks.result_rows import ResultRow, format_check_mark
from marquee.errors import DataError

METRIC, TRUTH = "ndcg@10", "chosen and liked"
N_RATINGS, SEEDS = 100_000, (1, 2, 3)
MIN_TAU = 0.7


def measure_agreement(share: float) -> ResultRow:
    """Measure Kendall's tau between the orders of models by NDCG@10 and by the truth; peer: by RMSE."""
    try:
        agreement = import_module("benchmarks.synthetic.rank_agreement")
    except ModuleNotFoundError as error:
        raise DataError(
            f"{error}: benchmarks.synthetic does not know which items users would choose"
        ) from error
    taus, error_taus = [], []
    for seed in SEEDS[: max(1, round(len(SEEDS) * share))]:
        scores = list(agreement.measure_models(N_RATINGS, seed).values())
        taus.append(agreement.kendall_tau(scores, METRIC, TRUTH))
        error_taus.append(agreement.kendall_tau(scores, agreement.NEGATIVE_RMSE, TRUTH))
    return summarize_taus(taus, error_taus)


def summarize_taus(taus: list[float], error_taus: list[float]) -> ResultRow:
    """Return the row for Kendall's tau of NDCG@10, and of RMSE as its peer, one value per seed."""
    tau = float(np.mean(taus))
    note = (
        f"target {MIN_TAU} {format_check_mark(tau >= MIN_TAU)}; {min(taus):.2f} to {max(taus):.2f}; "
        f"{N_RATINGS:,} synthetic ratings"
    )
    return ResultRow("truth", tau, "tau", len(taus), note, peer=float(np.mean(error_taus)))
