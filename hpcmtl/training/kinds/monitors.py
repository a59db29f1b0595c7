"""The metrics by which a training may be stopped, or its best epoch be found: their names, and which way is better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.errors import nearest
from hpcmtl.jobfile.metrics import better_of
from hpcmtl.networks.objective import MAIN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.metrics import Better
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.kinds.course_schemas import EarlyStoppingKeys, KeepKeys
    from hpcmtl.training.kinds.schemas import Trained

LOSS = "loss"
VALIDATED = "val_"
"""Prefix of the metrics of validation samples in the results."""
_OF_MODES: Mapping[str, Better] = {"min": "lower", "max": "higher"}


def monitored_names(task: Trained, objectives: Sequence[Objective]) -> tuple[str, ...]:
    """Returns the names of the metrics that a task has at the ends of epochs.

    Args:
        task: the task.
        objectives: its objectives, with the metrics that each is to compute.
    """
    names = [LOSS]
    for each in objectives:
        prefix = "" if each.name == MAIN else f"{each.name}."
        names += [f"{prefix}{LOSS}"] if prefix else []
        if task.validate_every:
            names += [f"{prefix}{VALIDATED}{metric}" for metric in each.metrics]
    return tuple(names)


def direction(monitor: str, mode: str) -> Better | None:
    """Returns which of two values of a metric is better; None for one of the user's without a `mode`."""
    return _OF_MODES.get(mode) or better_of(monitor)


def check_monitor(
    path: tuple[str, ...], keys: EarlyStoppingKeys | KeepKeys, names: Collection[str], prefix: str = ""
) -> Iterator[Finding]:
    """Yields why a task cannot be judged by a metric.

    Args:
        path: path of the keys inside the task.
        keys: name of the metric, and which way is better.
        names: metrics that there are at the ends of epochs.
        prefix: what comes before the name in the results.
    """
    if keys.monitor is None:
        return
    known = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    if keys.monitor not in known:
        written = f"{VALIDATED}{keys.monitor}"
        hint = f"; write {written!r}" if written in known else nearest(keys.monitor, known)
        text = f"there is no {keys.monitor!r} at the ends of epochs{hint}"
        yield (*path, "monitor"), f"{text}; there are {', '.join(known)} (see `metrics` and `validate_every`)"
    elif direction(keys.monitor, keys.mode) is None:
        yield (*path, "mode"), f"it is not known which way {keys.monitor} is better; write `mode: min` or `mode: max`"
