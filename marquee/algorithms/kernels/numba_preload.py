"""Numba warm-up: importing this module loads everything that Numba needs for the first call of a kernel.

Loading takes half a second. A process that forks workers imports this module once for all of them.
"""

import numpy as np

from marquee.algorithms.kernels.sgd import compute_pair_dots

_ids, _factors = np.zeros(1, dtype=np.int32), np.zeros((1, 1))
compute_pair_dots(_factors, _ids, _ids, _factors, np.zeros(1))
