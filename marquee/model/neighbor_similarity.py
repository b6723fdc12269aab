"""Similarity of two sparse rows of weights, such as items by their users: the formulas of neighbor models.

    similarity of rows a and b, over the columns c
    cosine    sum a_c b_c / (|a| |b|)
    jaccard   sum a_c b_c / (|a|^2 + |b|^2 - sum a_c b_c); with binary weights, the share of common columns
    tf_idf    cosine of sqrt(a_c) idf_c, with idf_c = ln(1 + n_rows / n_c)
    bm25      sum of the products of idf_c a_c (K1 + 1) / (a_c + K1 (1 - B + B length / mean length))

n_c is the number of rows with a weight in column c, and the length of a row is the sum of its weights. A
similarity based on n common columns is multiplied by n / (n + shrinkage), because with few it may be due to
chance: Bell and Koren (2007). Jaccard of weights is the coefficient of Tanimoto (1958). tf_idf and bm25
ignore negative weights; Robertson and Zaragoza (2009), The Probabilistic Relevance Framework: BM25 and
Beyond, equation 3.15, for both rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from marquee.array_types import Float64Array
from marquee.logarithms import log

SIMILARITIES = ("cosine", "jaccard", "tf_idf", "bm25")
K1, B = 1.2, 0.75  # of BM25: how early a large weight saturates; how much a long row is discounted


@dataclass(frozen=True)
class NeighborSimilarity:
    """Formula of a similarity.

    Attributes:
        name: one of `SIMILARITIES`.
        shrinkage: number of common columns at which a similarity is halved.
        mean_length: mean sum of the positive weights of a row, above 0; for bm25.
    """

    name: str
    shrinkage: float = 0.0
    mean_length: float = 1.0

    @property
    def is_ratio(self) -> bool:
        """True: the similarity is s / (t_a + t_b - s); False: it is s t_a t_b, with sum s and terms t."""
        return self.name == "jaccard"

    def transform(self, weights: Float64Array, idf: Float64Array, lengths: Any) -> Float64Array:
        """Return the values whose products are summed.

        Args:
            weights: weights of elements of rows, (n,).
            idf: inverse document frequency of the column of each element, (n,).
            lengths: length of the row of each element, (n,), or of the only row.
        """
        if self.name in {"cosine", "jaccard"}:
            return weights
        positive = np.maximum(weights, 0)
        if self.name == "tf_idf":
            return np.asarray(np.sqrt(positive) * idf)
        return np.asarray(
            idf * positive * (K1 + 1) / (positive + K1 * (1 - B + B * lengths / self.mean_length))
        )

    def compute_terms(self, squares: Any) -> Float64Array:
        """Return the term t of rows, given the sum of their squared values."""
        if self.name == "bm25":
            return np.ones_like(squares)
        if self.name == "jaccard":
            return np.asarray(squares)
        return 1 / np.sqrt(np.where(squares > 0, squares, 1.0))

    def combine(
        self, sums: Float64Array, counts: Float64Array, term: Any, terms: Float64Array
    ) -> Float64Array:
        """Return the similarities of a row to others; 0 instead of negative ones.

        Args:
            sums: sum of products with each other row, (n,).
            counts: number of common columns, (n,); used only with shrinkage.
            term: term of the row.
            terms: terms of the other rows, (n,).
        """
        if self.is_ratio:
            similarities = sums / np.where(sums > 0, term + terms - sums, 1.0)
        else:
            similarities = sums * term * terms
        if self.shrinkage > 0:
            similarities *= counts / (counts + self.shrinkage)
        return np.maximum(similarities, 0.0)


def compute_idf(counts: Any, n_rows: int) -> Float64Array:
    """Return the inverse document frequency of columns with these numbers of rows."""
    return log(1 + n_rows / np.maximum(counts, 1))
