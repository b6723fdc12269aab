"""Co-clustering: which cluster explains a user's or an item's ratings best, and sums over co-clusters.

Sums are in the order in which they are written, which is the twin's: it decides between clusters whose
errors are equal but for rounding.
"""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.arrays import Float64Array, Int32Array, Int64Array


@kernel
def best_clusters(
    start: int,
    stop: int,
    is_user: bool,
    indptr: Int64Array,
    others: Int32Array,
    values: Float64Array,
    means: Float64Array,
    cluster_averages: Float64Array,
    other_means: Float64Array,
    other_averages: Float64Array,
    other_clusters: Int64Array,
    co_averages: Float64Array,
    out: Int64Array,
) -> None:
    """The cluster of least squared error of each user, or of each item, from `start` to `stop`.

    `co_averages` has a row for each cluster of the other side. Of equal clusters the first is taken.
    """
    errors = np.empty(len(cluster_averages))
    for g in range(start, stop):
        errors[:] = 0
        mean = means[g]
        for t in range(indptr[g], indptr[g + 1]):
            o = others[t]
            other = other_clusters[o]
            other_mean, other_average = other_means[o], other_averages[other]
            co_average = co_averages[other]
            rating = values[t]
            if is_user:
                for c in range(len(errors)):
                    err = rating - (co_average[c] + mean - cluster_averages[c] + other_mean - other_average)
                    errors[c] += err * err
            else:
                for c in range(len(errors)):
                    err = rating - (co_average[c] + other_mean - other_average + mean - cluster_averages[c])
                    errors[c] += err * err
        out[g] = np.argmin(errors)


@kernel
def co_cluster_sums(
    start: int,
    stop: int,
    indptr: Int64Array,
    items: Int32Array,
    values: Float64Array,
    cltr_u: Int64Array,
    cltr_i: Int64Array,
    counts: Int64Array,
    sums: Float64Array,
) -> None:
    """Add the ratings of the users from `start` to `stop` to the numbers and sums of each co-cluster."""
    for u in range(start, stop):
        count, total = counts[cltr_u[u]], sums[cltr_u[u]]
        for t in range(indptr[u], indptr[u + 1]):
            c = cltr_i[items[t]]
            count[c] += 1
            total[c] += values[t]
