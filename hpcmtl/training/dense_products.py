"""Inner products of gradients by the weight of a dense network layer, without these gradients.

The gradient of an objective by the weight is D'X: X, (n, values), are the inputs of the layer, which all objectives
share, and D, (n, outputs), the gradients of its outputs. With XX' = LL' the rows L'D have the inner products of these
gradients, and n values an output in place of all inputs. An offset is one more input, which is 1. When the weights of
the objectives are known, one product with the weighted sum of the D makes the gradient of the step.

XX' and L are computed in float64: then the rows L'D are as exact as the gradients themselves are in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_VALUES = 1 << 14
"""Number of values of a weight from which on its gradients are worth the work on their factors."""
_SHIFT, _LEAST = 1e-12, 1e-200
"""Added to XX', relative to its diagonal and at least: equal rows and rows of 0 leave it positive definite."""


def pays(shape: Sequence[int], rows: int) -> bool:
    """Returns whether the gradients of a weight, for a number of rows, take longer than the work on their factors."""
    return len(shape) == 2 and shape[0] * shape[1] >= LEAST_VALUES and 2 * rows <= shape[1]


def rows_of_products(
    inputs: np.ndarray[Any, Any], outputs: np.ndarray[Any, Any], *, offset: bool
) -> np.ndarray[Any, Any]:
    """Returns float32 rows (objectives, n x outputs) with the inner products of the gradients by weight and offset.

    Args:
        inputs: (n, values) float32 inputs of the layer.
        outputs: (objectives, n, outputs) float32 gradients of its outputs.
        offset: whether the gradients by the offset count.
    """
    doubles = inputs.astype(np.float64)
    products = doubles @ doubles.T
    if offset:
        products += 1
    products.flat[:: len(products) + 1] *= 1 + _SHIFT
    products.flat[:: len(products) + 1] += _LEAST
    if not np.isfinite(products).all():
        return np.full((len(outputs), 1), np.nan, np.float32)
    rows: np.ndarray[Any, Any] = np.ascontiguousarray(_root(products), np.float32) @ outputs
    return rows.reshape(len(outputs), -1)


def _root(products: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns R, (n, n), with R'R = `products`, a finite and symmetric matrix."""
    try:
        return np.linalg.cholesky(products).T
    except np.linalg.LinAlgError:  # dependent rows: rounding is larger than the shift
        values, vectors = np.linalg.eigh(products)
        root: np.ndarray[Any, Any] = np.sqrt(values.clip(0.0))[:, None] * vectors.T
        return root
