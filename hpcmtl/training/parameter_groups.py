"""Parameter groups: optimizers, learning rates and weight decays of their own for some parameters of a network."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.jobfile.tasks import ParameterGroup
from hpcmtl.training.parameter_names import frozen_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.training.learner_settings import LearnerSettings

_PREFIX = "groups/"
NONE: frozenset[str] = frozenset()
"""No parameter."""


@dataclass(frozen=True)
class OptimizerGroup:
    """Parameters that one optimizer updates.

    Attributes:
        optimizer: name, learning rate, weight decay and options; without groups.
        factor: learning rate of the group over that of the task.
        names: names of the parameters; there may be none.
    """

    optimizer: Optimizer
    factor: float
    names: tuple[str, ...]


class _FrozenGroup(ParameterGroup):
    """A group whose parameters are all frozen, and trained at other times."""


def with_frozen_groups(settings: LearnerSettings, names: Iterable[str], trained: Iterable[str]) -> LearnerSettings:
    """Returns settings whose optimizer has groups without a parameter where theirs are frozen for now.

    Args:
        settings: settings of a learner.
        names: names of all parameters of its network.
        trained: names of those that are trained.

    Raises:
        InputError: a pattern of frozen parameters matches none.
    """
    now, later = list(trained), frozen_names(names, settings.frozen_for_now)
    groups = {
        pattern: _FrozenGroup(**dict(group))
        if not fnmatch.filter(now, pattern) and fnmatch.filter(later, pattern)
        else group
        for pattern, group in settings.optimizer.groups.items()
    }
    return replace(settings, optimizer=settings.optimizer.model_copy(update={"groups": groups}))


class ParameterUpdater(Protocol):
    """Updates parameters by an optimizer of a framework, with the gradients that are there.

    Attributes:
        may_draw: whether updates may draw random numbers.
    """

    may_draw: bool

    @property
    def optimizers(self) -> list[Any]:
        """The framework's optimizers."""
        ...

    def update(self, learning_rate: float, rescale: float, resting: frozenset[str] = NONE) -> None:
        """Updates every parameter once, with its gradient times `rescale`; those of `resting` stay as they are."""
        ...

    def state(self) -> Arrays:
        """Returns copies of the whole state of the optimizer by name."""
        ...

    def load_state(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned."""
        ...


def optimizer_groups(
    optimizer: Optimizer, names: Iterable[str], tied: Iterable[tuple[str, ...]] = ()
) -> list[OptimizerGroup]:
    """Returns the groups of an optimizer; the first has the parameters that no pattern matches.

    A parameter belongs to the first pattern that it matches. What a group leaves open is as in the optimizer of the
    task; a group with an optimizer of another name has no options but its own.

    Args:
        optimizer: optimizer of the task.
        names: names of the trained parameters, one for each.
        tied: all names of each parameter that has several; any of them may match.

    Raises:
        InputError: a pattern has no parameter.
    """
    rest, found = list(names), list[OptimizerGroup]()
    aliases = {name: each for each in tied for name in each}
    for pattern, group in optimizer.groups.items():
        mine = [name for name in rest if fnmatch.filter(aliases.get(name, (name,)), pattern)]
        if not mine and not isinstance(group, _FrozenGroup):
            text = f"the pattern {pattern} matches no trained parameter, or earlier patterns have them all"
            raise InputError([Problem("optimizer", f"groups: {text}{nearest(pattern, rest)}")])
        rest = [name for name in rest if name not in mine]
        changes = {key: value for key in type(group).model_fields if (value := getattr(group, key)) is not None}
        if group.name not in {None, optimizer.name}:
            changes.setdefault("options", {})
        own = optimizer.model_copy(update={**changes, "groups": {}})
        found.append(OptimizerGroup(own, own.learning_rate / optimizer.learning_rate, tuple(mine)))
    first = OptimizerGroup(optimizer.model_copy(update={"groups": {}}), 1.0, tuple(rest))
    return [first, *found]


class GroupedUpdater:
    """Updates the parameters of all groups of an optimizer; see `ParameterUpdater`.

    The state of a group after the first has names with the number of the group.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        optimizer: Optimizer,
        make: Callable[[Mapping[str, Any], Optimizer], ParameterUpdater],
        tied: Iterable[tuple[str, ...]] = (),
    ) -> None:
        """Makes an updater for each group.

        Args:
            parameters: trained parameters by name.
            optimizer: optimizer of the task.
            make: function of some parameters and their optimizer to an updater of them.
            tied: all names of each parameter that has several.

        Raises:
            InputError: a pattern of a group has no parameter, or an optimizer cannot be made.
        """
        self._parts = {
            f"{_PREFIX}{number}/" if number else "": (group.factor, make(_of(parameters, group), group.optimizer))
            for number, group in enumerate(optimizer_groups(optimizer, parameters, tied))
            if group.names
        }
        self.may_draw = any(updater.may_draw for _, updater in self._parts.values())

    @property
    def optimizers(self) -> list[Any]:
        """The framework's optimizers."""
        return [each for _, updater in self._parts.values() for each in updater.optimizers]

    def update(self, learning_rate: float, rescale: float, resting: frozenset[str] = NONE) -> None:
        """See `ParameterUpdater`; the learning rate is that of the task."""
        for factor, updater in self._parts.values():
            updater.update(learning_rate * factor, rescale, resting)

    def state(self) -> Arrays:
        """See `ParameterUpdater`."""
        parts = self._parts.items()
        return {prefix + name: array for prefix, (_, updater) in parts for name, array in updater.state().items()}

    def load_state(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """See `ParameterUpdater`."""
        for prefix, (_, updater) in self._parts.items():
            updater.load_state(
                {
                    name.removeprefix(prefix): array
                    for name, array in arrays.items()
                    if (name.startswith(prefix) if prefix else not name.startswith(_PREFIX))
                }
            )


def unkept_by_updates(names: Sequence[str], remedy: str) -> list[str]:
    """Returns a note on what updates change and no checkpoint has; none if there is nothing.

    Args:
        names: names of values, see `CodeState.restore`.
        remedy: place in which a checkpoint would have them.
    """
    text = f"an update changes {', '.join(names)}: no checkpoint has this, so that a resumed task begins with"
    return [f"{text} its first value; keep it {remedy}"] if names else []


def without_effect(changes: Arrays, gradients: Iterable[np.ndarray[Any, Any]], rate: float) -> list[str]:
    """Returns a note on an update that changes no parameter, though there are gradients; none for another one.

    Args:
        changes: change of each parameter by an update.
        gradients: gradients of the parameters.
        rate: learning rate.
    """
    if rate == 0 or any(map(np.any, changes.values())) or not any(map(np.any, gradients)):
        return []
    text = "its first update changes no parameter, though there are gradients"
    return [f"{text}: the learning rate may be too small, or the optimizer may want a closure, or collect gradients"]


def _of(parameters: Mapping[str, Any], group: OptimizerGroup) -> dict[str, Any]:
    return {name: parameters[name] for name in group.names}
