"""Values of a network in the units of the table that its data file was made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.data.open_file import naming_damage, open_sealed
from hpcmtl.data.stored_array import find_array
from hpcmtl.errors import InputError, Problem

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray


def to_units(path: str | os.PathLike[str], name: str, values: Any) -> NDArray[Any]:
    """Returns predictions of a dataset in the units of its table: ``values * deviation + mean``.

    Args:
        path: sealed data file.
        name: dataset that the network was trained to predict.
        values: (samples,) or (samples, 1) for one number a sample, or (samples, columns).

    Raises:
        InputError: there is no such dataset, it is not standardised, or the values have another shape.
    """
    path = Path(path)
    with open_sealed(path) as file, naming_damage(path, name):
        attributes = dict(find_array(file, path, name).attrs)
    if "mean" not in attributes or "deviation" not in attributes:
        message = "is not standardised: its values have the units of the table already"
        raise InputError([Problem(f"{path}: {name}", message)])
    mean, deviation = np.asarray(attributes["mean"], np.float64), np.asarray(attributes["deviation"], np.float64)
    given = np.asarray(values, np.float64)
    if mean.ndim and (given.ndim == 0 or given.shape[-1] != len(mean)):
        message = f"has {len(mean)} columns, the values have the shape {given.shape}"
        raise InputError([Problem(f"{path}: {name}", message)])
    restored: NDArray[Any] = given * deviation + mean
    return restored
