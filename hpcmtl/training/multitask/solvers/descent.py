"""Steps of gradient descent and Adam on a few numbers that a weighting learns, with their state by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from hpcmtl.networks.spec import Spec

if TYPE_CHECKING:
    from hpcmtl.arrays import Arrays, Floats

_DECAYS, _EPSILON = (0.9, 0.999), 1e-8


class DescentOptions(Spec):
    """Options of weightings that learn numbers of their own."""

    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.025
    update: Literal["adam", "sgd"] = "adam"
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


def descent_state(first: Floats) -> Arrays:
    """Returns the state of a descent before its first step."""
    zeros = np.zeros_like(first)
    return {"learnt": first, "mean": zeros, "square": zeros.copy(), "updates": np.array(0)}


def descend(values: Arrays, gradient: Floats, options: DescentOptions) -> None:
    """Takes one step on `learnt`: plain, or by Adam (Kingma and Ba, ICLR 2015, algorithm 1); decay is L2.

    Args:
        values: state of `descent_state`, which changes.
        gradient: gradient by `learnt`.
        options: rate and rule.
    """
    gradient = gradient + options.weight_decay * values["learnt"]
    count = int(values["updates"]) + 1
    values["updates"] = np.array(count)
    if options.update == "sgd":
        values["learnt"] = values["learnt"] - options.learning_rate * gradient
        return
    for name, decay, new in (("mean", _DECAYS[0], gradient), ("square", _DECAYS[1], gradient**2)):
        values[name] = decay * values[name] + (1 - decay) * new
    mean = values["mean"] / (1 - _DECAYS[0] ** count)
    square = values["square"] / (1 - _DECAYS[1] ** count)
    values["learnt"] = values["learnt"] - options.learning_rate * mean / (np.sqrt(square) + _EPSILON)
