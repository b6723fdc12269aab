"""Import this module to load everything that Numba needs for the first call of a kernel.

That takes half a second, which a process that forks workers spends once for all of them.
"""

import numpy as np

from marquee.algorithms.kernels.sgd import dots

_ids, _factors = np.zeros(1, dtype=np.int32), np.zeros((1, 1))
dots(_factors, _ids, _ids, _factors, np.zeros(1))
