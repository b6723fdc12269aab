"""EDLAE: EASE with a dropout penalty, which keeps frequent items from explaining themselves."""

import numpy as np

from marquee.algorithms.ease import EASE
from marquee.algorithms.parameter_checks import check_number_attributes
from marquee.array_types import FloatArray
from marquee.errors import ParameterError


class EDLAE(EASE):
    r"""Linear autoencoder that learns to fill in interactions that were left out at random (dropout).

    .. math:: s_{ui} = \sum_j X_{uj} B_{ji}, \qquad
        B_{ji} = \begin{cases} 0 & i = j \\ -P_{ji} / P_{ii} & i \ne j \end{cases}, \qquad
        P = \Big(X^T X + \lambda I + \frac{p}{1 - p} \operatorname{diag}(X^T X)\Big)^{-1}

    where X holds the weights of the interactions (`Weighting`). With infinitely many copies of X in which
    each interaction of the input is left out with probability p, B minimizes the squared error plus
    :math:`\lambda \|B\|^2`: items are regularized in proportion to how often they were chosen. With p = 0, it
    is EASE. Steck (2020), Autoencoders that don't overfit towards the Identity, section 3.3, of full rank.

    Memory, precision and thread count as for EASE.

    Args:
        reg: regularization :math:`\lambda`.
        dropout: probability p, less than 1.
        threshold: lowest rating or weight that counts, for binary weighting; None: see `Weighting`.
        weighting: binary, linear, or log (implicit weights only).
        neutral: rating with weight 0, for linear weighting; None: see `Weighting`.
        dtype: float32, or float64 for twice the memory and twice the time.
        n_weights: number of weights kept of each item, as in EASE; None: all.
    """

    def __init__(
        self,
        reg: float = 150.0,
        dropout: float = 0.33,
        threshold: float | None = None,
        weighting: str = "binary",
        neutral: float | None = None,
        dtype: str = "float32",
        n_weights: int | None = None,
    ) -> None:
        super().__init__(reg, threshold, weighting, neutral, dtype, n_weights)
        self.dropout = dropout

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number_attributes(self, "dropout")
        if self.dropout >= 1:
            raise ParameterError(f"EDLAE: dropout must be less than 1 (got {self.dropout!r})")

    def _compute_penalties(self, diagonal: FloatArray) -> FloatArray:
        ratio = diagonal.dtype.type(self.dropout / (1 - self.dropout))
        penalties: FloatArray = np.asarray(super()._compute_penalties(diagonal) + ratio * diagonal)
        return penalties
