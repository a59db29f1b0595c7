"""Objectives: the losses that a network is trained for."""

from __future__ import annotations

from dataclasses import dataclass

MAIN = "main"
"""Name of the objective of a network that has only one."""


@dataclass(frozen=True)
class Objective:
    """One loss of a task.

    Attributes:
        name: name of the network's output; `MAIN` if there is only one.
        target: reference of the array of targets, ``source/dataset``.
        loss: name of the loss.
        weight: factor of the loss in the sum that is minimised.
        metrics: names of the metrics that are computed on held-out samples.
    """

    name: str
    target: str
    loss: str
    weight: float
    metrics: tuple[str, ...]
