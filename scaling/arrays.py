"""Names for the arrays that numbers travel in; a shape is told where one is meant: [N], one entry per row."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]


Ints: TypeAlias = NDArray[np.int64]


Bools: TypeAlias = NDArray[np.bool_]
