"""Descriptions of the arrays that tasks read and publish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.networks.shapes import Shape


@dataclass(frozen=True)
class ArraySpec:
    """The facts about one array that are known before the job runs.

    Attributes:
        samples: number of rows; None where only running the task that makes the array shows it.
        shape: shape of one sample; None where only running that task shows it.
        kind: numpy kind character: ``i``, ``u``, ``f``, ``b``.
        classes: number of classes of a label array; None for other arrays.
        itemsize: bytes of one scalar as stored.
        split: numbers of rows in train, val and test; None where only running that task shows them.
        ragged: whether samples differ in length; the first number of `shape` is then that of the longest.
    """

    samples: int | None
    shape: Shape | None
    kind: str = "f"
    classes: int | None = None
    itemsize: int = 4
    split: tuple[int, int, int] | None = None
    ragged: bool = False


UNKNOWN = ArraySpec(None, None)
"""An array that nothing is known of."""

KeyedReference = tuple[tuple[str, ...], str]
"""Path of keys inside a task, and the reference ``source/dataset`` that stands there."""
