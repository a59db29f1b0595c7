"""Parts that weightings share: their setup, their state by name, and the checks of what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from hpcmtl.errors import InputError, Problem, TaskFailedError
from hpcmtl.networks.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays, Floats
    from hpcmtl.training.multitask.weighting import ObjectiveMeasurements, WeightingInput

LOSS_FLOOR = 1e-8
"""Added to losses before a logarithm or a division, as in the published code of FAMO and DB-MTL."""


class NoOptions(Spec):
    """The options of a method that has none."""


OptionsT = TypeVar("OptionsT", bound=Spec)


@dataclass(frozen=True, kw_only=True)
class WeightingSetup:
    """The facts of a task that a weighting needs, equal on all ranks.

    Attributes:
        objectives: names of the objectives, in the order of losses and weights.
        seed: seed of the task.
    """

    objectives: tuple[str, ...]
    seed: int = 0


class NamedState:
    """State as arrays by name, that starts from `_initial`.

    Attributes:
        values: the present arrays.
    """

    def __init__(self) -> None:
        self.values = self._initial()

    def _initial(self) -> Arrays:
        """Returns the arrays before the first step."""
        return {}

    def state(self) -> Arrays:
        """Returns copies of the state by name, equal on all ranks."""
        return {name: array.copy() for name, array in self.values.items()}

    def load_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned; names that are missing take their initial values."""
        for name, first in self._initial().items():
            found = np.array(state.get(name, first), dtype=first.dtype)
            if found.shape != first.shape:
                text = f"the state `{name}` of the weighting has shape {found.shape}, and this task needs {first.shape}"
                raise TaskFailedError(f"{text}: its objectives were changed; begin it again")
            self.values[name] = found


class BaseWeighting(NamedState, Generic[OptionsT]):
    """Base of weightings with a setup, options and a state."""

    needs: frozenset[WeightingInput] = frozenset()

    def __init__(self, setup: WeightingSetup, options: OptionsT) -> None:
        self.setup, self.options, self.count = setup, options, len(setup.objectives)
        super().__init__()

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:
        """See `Weighting`."""
        raise NotImplementedError

    def labelled(self, measured: ObjectiveMeasurements) -> np.ndarray[Any, Any]:
        """Returns (objectives,) whether this step's batch has a label of each objective."""
        return np.ones(self.count, bool) if measured.labelled is None else measured.labelled > 0


class GramianWeighting(BaseWeighting[OptionsT]):
    """Base of weightings that need the Gramian of the objectives' gradients alone."""

    needs: frozenset[WeightingInput] = frozenset({"gramian"})

    def weights(self, measured: ObjectiveMeasurements) -> Sequence[float]:
        """See `Weighting`."""
        weights: list[float] = self.from_gramian(finite(self, "gramian", measured.gramian)).tolist()
        return weights

    def from_gramian(self, gramian: Floats) -> Floats:
        """Returns the weights for a Gramian of finite numbers."""
        raise NotImplementedError


def finite(weighting: BaseWeighting[Any], name: str, values: Floats | None) -> Floats:
    """Returns a measurement, all values of which are finite numbers.

    Raises:
        TaskFailedError: it was not measured, or a value of it is no finite number.
    """
    kind = type(weighting).__name__
    if values is None:
        raise not_measured(weighting, name)
    if not np.isfinite(values).all():
        wrong = sorted({weighting.setup.objectives[place] for place in np.argwhere(~np.isfinite(values)).T[-1]})
        text = f"{kind}: `{name}` is not finite for {', '.join(wrong)}"
        raise TaskFailedError(f"{text}; lower the learning rate, or set `clip_norm` of the optimizer")
    return np.asarray(values, dtype=np.float64)


def not_measured(weighting: BaseWeighting[Any], name: str) -> TaskFailedError:
    """Returns the error for a measurement that is missing."""
    return TaskFailedError(f"{type(weighting).__name__} needs `{name}`, which this step did not measure")


def positive(weighting: BaseWeighting[Any], name: str, values: Floats | None) -> Floats:
    """Returns losses above 0, for a logarithm: those below `LOSS_FLOOR` are raised to it.

    Raises:
        TaskFailedError: they were not measured, or one is no finite number, or below 0.
    """
    found = finite(weighting, name, values)
    if (found < 0).any():
        place = int(np.argmin(found))
        text = f"{type(weighting).__name__}: the loss of {weighting.setup.objectives[place]} is {found[place]:g}"
        raise TaskFailedError(f"{text}; this weighting takes logarithms or ratios of losses, which must be above 0")
    return np.maximum(found, LOSS_FLOOR)


def one_each(setup: WeightingSetup, name: str, given: Sequence[float] | None, default: float) -> Floats:
    """Returns the numbers of an option that has one for each objective, or the default for all.

    Raises:
        InputError: there is another number of them.
    """
    if given is None:
        return np.full(len(setup.objectives), default)
    if len(given) != len(setup.objectives):
        text = f"found {len(given)} numbers for {len(setup.objectives)} objectives"
        raise InputError([Problem(name, f"{text}; write one for each, in the order {', '.join(setup.objectives)}")])
    return np.array(given, dtype=np.float64)
