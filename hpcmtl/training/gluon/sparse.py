"""Row-sparse gradients as dense arrays for a reduction, and back.

Optimizers treat them in another way than dense ones: only rows that the batch touches get momentum and decay
("lazy update"). A reduced gradient therefore has exactly the rows that the batch of the whole group touches, also
those whose gradient is 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcmtl.training.gluon.compat import import_mxnet

mx = import_mxnet()


def is_row_sparse(parameter: Any) -> bool:
    """Returns whether the gradient of a parameter, such as an embedding's, has touched rows alone."""
    return bool(parameter.grad().stype == "row_sparse")


class RowSparseGradient:
    """Dense copy of the row-sparse gradient of a parameter, and a mark for each row.

    Attributes:
        dense: NDArray of the parameter's shape.
        touched: float32 NDArray (rows,), above 0 for each row that the gradient has.
    """

    def __init__(self, parameter: Any) -> None:
        self._gradient = parameter.grad()
        self.dense = mx.nd.empty(
            parameter.shape, self._gradient.context, parameter.dtype
        )  # uses no memory before it is written
        self.touched = mx.nd.zeros(parameter.shape[:1], self._gradient.context)

    def spread(self) -> None:
        """Copies the gradient to `dense`, and marks its rows; waits for it."""
        mx.nd.cast_storage(self._gradient, stype="default", out=self.dense)
        marks = np.zeros(self.touched.shape, np.float32)
        marks[self._gradient.indices.asnumpy()] = 1
        self.touched[:] = marks

    def gather(self) -> None:
        """Copies the marked rows of `dense` to the gradient; waits for them."""
        rows = np.flatnonzero(self.touched.asnumpy())
        made = (
            mx.nd.sparse.row_sparse_array((self.dense[rows], rows), shape=self.dense.shape, dtype=self.dense.dtype)
            if len(rows)
            else mx.nd.sparse.zeros("row_sparse", self.dense.shape, dtype=self.dense.dtype)
        )
        made.copyto(self._gradient)
