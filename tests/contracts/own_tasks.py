"""Callables that the python tasks of the tests name."""

from __future__ import annotations

import numpy as np

from hpcmtl.training.map_reduce import map_reduce


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
        "letters": len(context.framework),
    }


def nothing(_context):
    """No result."""


def arrays(_context):
    """Two arrays, the split of their rows, and a number."""
    twice = 2 * np.arange(8).reshape(4, 2)
    return {"rows": len(twice), "twice": twice, "label": np.arange(4), "split": np.array([0, 0, 1, 2])}


def small_rows(context):
    """Rows for a network of four inputs and two classes; a split if it is asked for, and a pair of numbers a row."""
    x = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    split = {"split": np.arange(30) % 3} if context.arguments.get("split") else {}
    return {"x": x, "y": (x[:, 0] > 0).astype(np.int64), "pair": np.ones((30, 2)), **split}


def labels_of_val(_context):
    """Rows of which only the validation samples have a label."""
    split = np.arange(12) % 3 // 2  # two of three train
    return {"x": np.ones((12, 6), np.float32), "y": np.where(split == 1, 1, -1), "split": split}


def reading(context):
    """Size and sum of an array."""
    array = context.read(context.arguments["reference"])
    return {"rows": len(array), "sum": array.sum()}


def weighing(context):
    """Describes the parameters of another task."""
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


def made(context):
    """The arrays that its arguments name, of 61 rows, and the split of the tests' data."""
    return {**{name: _ARRAYS[name] for name in context.arguments["names"]}, "split": np.arange(ROWS) // 40}


ROWS = 61
_ARRAYS = {
    "features": np.random.default_rng(3).normal(size=(ROWS, 5)),
    "gaps": np.where(np.arange(ROWS) == 7, np.nan, 1.0)[:, None],
    "times": 1.7e9 + np.arange(ROWS),
    "sorted": np.tile(np.where(np.arange(ROWS) < ROWS // 2, 0.0, 1.7e9 + np.arange(ROWS))[:, None], 5),
    "classes": np.arange(ROWS) % 3,
    "more": np.arange(ROWS) % 4,
    "tokens": np.arange(3 * ROWS).reshape(ROWS, 3) % 5,
    "words": np.array(["rot", "grün", "ocker", ""] * ROWS)[:ROWS],
    "flags": np.arange(ROWS) % 2 == 0,
    "waves": np.exp(1j * np.arange(ROWS)),
    "halves": (np.arange(ROWS) / 2).astype(np.float16),
    "large": 2**53 + 1 + np.arange(ROWS),
    "unsigned": np.full(ROWS, 2**64 - 1, np.uint64),
    "big_endian": np.arange(ROWS, dtype=">i4"),
    "letters": np.array([b"a", b"bc"] * ROWS)[:ROWS],
    "truth": np.ones((ROWS, 2, 0), np.float32),
}


def exactly(context):
    """Returns true if each array that it needs is the one that `made` published, to the bit, and of the same type."""
    same = {}
    for name in context.arguments["names"]:
        array, wanted = context.read(f"own/{name}"), _ARRAYS[name]
        equal = array.tobytes() == wanted.astype(wanted.dtype.newbyteorder("=")).tobytes()
        same[name] = equal and array.dtype == wanted.dtype.newbyteorder("=") and array.shape == wanted.shape
    return same


def given(context):
    """One output of a kind that its arguments name, which may be one that cannot travel."""
    kinds = {
        "masked": lambda: np.ma.masked_greater(np.arange(4.0), 2),
        "unmasked": lambda: np.ma.masked_greater(np.arange(4.0), 9),
        "masks in a list": lambda: [np.ma.masked_greater(np.arange(4.0), 2)],
        "dates": lambda: np.array(["2020-01-01"] * 4, "M8[D]"),
        "ragged": lambda: [[1], [1, 2]],
        "objects": lambda: np.array([1, "a", None, {}], object),
        "records": lambda: np.zeros(4, "i4,f4"),
        "single": lambda: np.float64(3.0),
        "list": lambda: [1, 2, 3, 4],
        "none": lambda: np.zeros((0, 3)),
        "strings": lambda: np.array(["a", "bc", "", "d"], object),
    }
    split = context.arguments.get("split")
    return {"x": kinds[context.arguments["kind"]](), **({} if split is None else {"split": split})}


def asking(context):
    """Parameters of a task that its arguments name."""
    context.parameters(context.arguments["task"])


def counts(context):
    """Metrics that are whole numbers, of Python and of NumPy."""
    return {"large": 2**60 + 1, "numpy": np.int64(2**53 + 1), "small": 3, "part": 0.5}


def reduced(context):
    """Sum of an array, each rank over a share of it."""
    rows = context.read(context.arguments["reference"])
    return {"sum": map_reduce(rows, lambda part, _: part.sum(), lambda one, other: one + other, context.group, block=5)}
