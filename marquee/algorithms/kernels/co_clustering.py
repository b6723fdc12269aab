"""Kernels of co-clustering: assignment of users or items to clusters, and sums over co-clusters.

Terms are added in the order of the twin, which decides between clusters whose errors differ only by rounding.
"""

import numpy as np

from marquee.algorithms.kernels.jit import kernel
from marquee.array_types import Float64Array, Int32Array, Int64Array


@kernel
def assign_clusters(
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
    """Assign users (or items) start..stop to the cluster of least squared error; ties go to the first.

    `co_averages` has one row per cluster of the other side.
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
def add_co_cluster_sums(
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
    """Add the ratings of users start..stop to the `counts` and `sums` of their co-clusters."""
    for u in range(start, stop):
        count, total = counts[cltr_u[u]], sums[cltr_u[u]]
        for t in range(indptr[u], indptr[u + 1]):
            c = cltr_i[items[t]]
            count[c] += 1
            total[c] += values[t]
