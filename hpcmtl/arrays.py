"""Names of the array types that signatures use."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

Arrays = dict[str, NDArray[Any]]
"""Arrays of any dtype by name, e.g. the state of a network."""
