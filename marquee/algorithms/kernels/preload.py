"""Importing this makes numba load what the first call of any kernel needs.

That is half a second, which a process that is forked again and again pays once for all its forks.
"""

import numpy as np

from marquee.algorithms.kernels.sgd import dots

_index, _factors = np.zeros(1, dtype=np.int32), np.zeros((1, 1))
dots(_factors, _index, _index, _factors, np.zeros(1))
