"""Patterns of frozen parameters by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.training.kinds.course_schemas import FreezeKeys


def frozen_at(freeze: Mapping[str, FreezeKeys], epoch: int) -> tuple[str, ...]:
    """Returns the patterns that are frozen in an epoch, counted from 0."""
    return tuple(pattern for pattern, keys in freeze.items() if keys.holds(epoch))


def temporary(freeze: Mapping[str, FreezeKeys]) -> tuple[str, ...]:
    """Returns the patterns that are frozen in some epochs alone."""
    return tuple(pattern for pattern, keys in freeze.items() if keys != type(keys)())


def changes(freeze: Mapping[str, FreezeKeys]) -> tuple[int, ...]:
    """Returns the epochs at whose start other patterns are frozen than before, ascending."""
    return tuple(sorted({epoch for keys in freeze.values() for epoch in (keys.until, keys.from_) if epoch}))


def phases(freeze: Mapping[str, FreezeKeys], epochs: int) -> Iterable[tuple[str, ...]]:
    """Returns the patterns that are frozen at once, phase after phase of a task with a number of epochs."""
    return [frozen_at(freeze, epoch) for epoch in (0, *changes(freeze)) if epoch < epochs]
