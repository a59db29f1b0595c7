"""Callables that the python tasks of the tests name."""

from __future__ import annotations

import numpy as np


def report(context):
    """Numbers of every kind."""
    total = np.array([float(context.group.rank)])
    context.group.Allreduce(total)
    return {
        "factor": context.arguments["factor"],
        "half": 0.5,
        "ranks": context.group.size,
        "sum": total[0],
        "seed": context.seed,
        "stop": context.stop_requested(),
    }


def nothing(_context):
    """No result."""


def arrays(_context):
    """Two arrays, the split of their rows, and a number."""
    twice = 2 * np.arange(8).reshape(4, 2)
    return {"rows": len(twice), "twice": twice, "label": np.arange(4), "split": np.array([0, 0, 1, 2])}


def reading(context):
    """Size and sum of an array."""
    array = context.read(context.arguments["reference"])
    return {"rows": len(array), "sum": array.sum()}


def weighing(context):
    """What the parameters of another task look like."""
    parameters = context.parameters("digit")
    return {"parameters": len(parameters), "outputs": len(parameters["output.weight"])}


def text(_context):
    """A word is no metric."""
    return {"best": "digit", "accuracy": 0.5}


def number(_context):
    """A bare number has no name."""
    return 42


def uneven(_context):
    """Outputs that do not belong together."""
    return {"a": np.zeros(3), "b": np.zeros(4)}


def broken(_context):
    """A bug."""
    return 1 / 0
