"""Functions that the map-reduce tasks of the tests name."""

from __future__ import annotations

import os

import numpy as np


def sums(rows, numbers):
    """Sums of the columns, and of the numbers of the rows."""
    return {"total": rows.reshape(len(rows), -1).sum(axis=0), "numbers": float(numbers.sum())}


def add(one, other):
    """The sums of both."""
    return {name: one[name] + other[name] for name in one}


SEEN = set()


def remembering(rows, numbers):
    """Counts a row only where none of its kind came before on this rank."""
    SEEN.update(rows.reshape(len(rows), -1).max(axis=1).tolist())
    return {**sums(rows, numbers), "seen": float(len(SEEN))}


def fail_from_eighteen(rows, numbers):
    """Fails for the blocks from row 18 on."""
    if numbers[0] >= 18:
        raise ZeroDivisionError(f"row {numbers[0]} is odd")
    return sums(rows, numbers)


def leave(rows, numbers):
    """Ends its process."""
    if numbers[0] >= 18:
        os.sys.exit(7)
    return sums(rows, numbers)


def function(rows, numbers):
    """A value that does not pickle."""
    return lambda: len(rows)


def refuse(one, other):
    """Fails."""
    raise KeyError("one")


def describe(total):
    """An array, its split, and a metric."""
    size = len(total["total"])
    return {"total": total["total"], "split": np.arange(size) % 3, "numbers": total["numbers"]}


def broken(total):
    """Fails."""
    return total["nothing"]
