"""MXNet optimizers over named parameters, with their whole state as named arrays."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem, reason_of
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.training.gluon.attributes import STRUCTURE, UnkeptAttributes
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.description import GLUON
from hpcmtl.training.optimizer_options import unfit_options
from hpcmtl.training.other_frameworks import told_as_foreign
from hpcmtl.training.parameter_groups import NONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.arrays import Arrays
    from hpcmtl.jobfile.tasks import Optimizer

mx = import_mxnet()

_COUNTS, _COUNTED = "update_counts", "updated_parameters"
"""Names of the numbers of updates, and of the names that these belong to, as text in bytes."""
_GIVEN = {
    "learning_rate": "use `learning_rate` of the optimizer",
    "lr_scheduler": "use `schedule` of the optimizer",
    "wd": "use `weight_decay` of the optimizer",
    **dict.fromkeys(("param_dict", "param_idx2name", "rescale_grad", "sym"), "leave it out, hpcmtl sets it"),
}
"""Options of MXNet's optimizers that are not for users, and what to do in their place."""
_KEPT = frozenset(
    {"lr", "rescale_grad"}  # set at each update
    | {"num_update", "begin_num_update", "_index_update_count", "_all_index_update_counts"}  # restored with the counts
    | {"param_dict", "idx2name", "sym_info"}  # facts on the parameters
)
"""Attributes of MXNet's optimizers that need no place in a checkpoint."""


class Updater:
    """Updates parameters with their gradients.

    It is the core of `gluon.Trainer`, which ties the update to a KVStore and saves its state as pickles.

    Attributes:
        may_draw: whether updates may draw random numbers: those of `SGLD`, and of a user's optimizer.
    """

    def __init__(self, parameters: Mapping[str, Any], optimizer: Optimizer) -> None:
        self._names = list(parameters)
        self._parameters = list(parameters.values())
        self._indices = list(range(len(parameters)))
        # The handles stay the same for the life of a parameter: `set_data` writes to them.
        self._values = [parameter.data() for parameter in self._parameters]
        self._gradients = [parameter.grad() for parameter in self._parameters]
        self._optimizer = make_optimizer(optimizer)
        own = type(self._optimizer).__module__.startswith("mxnet.")
        self.may_draw = not own or isinstance(self._optimizer, mx.optimizer.SGLD)
        self._attributes = UnkeptAttributes(self._optimizer, _KEPT)
        self._optimizer.param_dict = dict(enumerate(self._parameters))
        # MXNet counts updates by device number; without this `load_state` would restore the counts of number 0.
        number = self._values[0].context.device_id if self._values else 0
        self._optimizer._set_current_context(number)  # noqa: SLF001 - as the updater does
        self._updater = mx.optimizer.get_updater(self._optimizer)

    @property
    def optimizers(self) -> list[Any]:
        """See `ParameterUpdater`."""
        return [self._optimizer]

    def update(self, learning_rate: float, rescale: float, resting: frozenset[str] = NONE) -> None:
        """See `ParameterUpdater`."""
        self._optimizer.set_learning_rate(learning_rate)
        self._optimizer.rescale_grad = rescale
        if not resting:
            self._updater(self._indices, self._gradients, self._values)
            return
        moved = [index for index in self._indices if self._names[index] not in resting]
        if moved:
            values, gradients = [self._values[n] for n in moved], [self._gradients[n] for n in moved]
            self._updater(moved, gradients, values)

    def state(self) -> Arrays:
        """Returns copies of the whole state.

        These are moments (``<parameter>/<position in the optimizer's state>``), ``update_counts``, and what updates
        have changed in the optimizer itself, such as ``m_schedule`` of nadam: see `attributes`.

        Raises:
            InputError: an update has changed an attribute of a user's optimizer that cannot be kept.
        """
        arrays: Arrays = {}
        for index, name in enumerate(self._names):
            for place, array in _leaves(self._updater.states.get(index)):
                arrays[f"{name}/{place}"] = array.asnumpy()
        counts = self._optimizer._index_update_count  # noqa: SLF001 - adam's bias correction; no public name
        arrays[_COUNTS] = np.array([counts.get(index, 0) for index in range(len(self._names))], dtype=np.int64)
        arrays[_COUNTED] = np.frombuffer("\n".join(self._names).encode(), np.uint8).copy()
        return {**arrays, **self._attributes.arrays()}

    def load_state(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned; parameters that it does not have begin without a state.

        Raises:
            InputError: it is of an earlier version, and belongs to another number of parameters.
        """
        counts = self._counts_in(arrays)
        if len(counts) != len(self._names):
            # Earlier versions counted a parameter with two names (tied weights) twice, and updated it twice a step.
            text = f"is of {len(counts)} parameters, this network trains {len(self._names)}"
            raise InputError([Problem("optimizer state of a checkpoint", f"{text}: begin a new run")])
        before = dict(self._updater.states)
        self._updater.states.clear()
        self._updater.states_synced.clear()
        for index, name in enumerate(self._names):
            if counts[index] == 0:
                continue  # the first update creates its state
            state = before.get(index)
            if state is None:
                state = self._optimizer.create_state_multi_precision(index, self._parameters[index].data())
            for place, array in _leaves(state):
                # Takes a sixth of the time of an assignment; oneDNN never rearranges these arrays.
                array._sync_copyfrom(np.ascontiguousarray(arrays[f"{name}/{place}"], array.dtype))  # noqa: SLF001 - no public name
            self._updater.states[index] = state
            self._updater.states_synced[index] = True
        self._optimizer._index_update_count.update(enumerate(int(count) for count in counts))  # noqa: SLF001 - as above
        self._optimizer.num_update = int(counts.max(initial=0))
        self._attributes.restore(arrays)
        if STRUCTURE not in arrays:  # earlier versions kept numbers, each as an array of its own
            for name in arrays.keys() - {_COUNTS, _COUNTED}:
                if "/" not in name:
                    setattr(self._optimizer, name, arrays[name][0].item())

    def _counts_in(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        """Returns the number of updates of each parameter; states of earlier versions have no names of parameters."""
        counts: np.ndarray[Any, Any] = arrays.get(_COUNTS, np.zeros(0, np.int64))
        names = arrays[_COUNTED].tobytes().decode().split("\n") if _COUNTED in arrays else []
        if len(names) != len(counts):
            return counts
        known = dict(zip(names, counts, strict=True))
        return np.array([known.get(name, 0) for name in self._names], dtype=np.int64)


def make_optimizer(optimizer: Optimizer) -> Any:
    """Makes the MXNet optimizer of a job.

    Raises:
        InputError: a user's optimizer cannot be imported or is none, or the options do not fit.
    """
    options = {"learning_rate": optimizer.learning_rate, "wd": optimizer.weight_decay, **optimizer.options}
    where = f"optimizer {optimizer.name}"
    try:
        registry = mx.optimizer.Optimizer.opt_registry
        make = resolve(optimizer.name) if ":" in optimizer.name else registry[optimizer.name.lower()]
        problems = [Problem(where, text) for text in _unfit(make, optimizer.options)]
        made = None if problems else make(**options)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        text = f"cannot be made with {options}: {reason_of(error)}"
        raise InputError([Problem(where, text)]) from error
    if problems:
        raise InputError(problems)
    if isinstance(made, mx.optimizer.LBSGD) and made.batch_scale != 1:
        text = f"option batch_scale is {made.batch_scale}: sums of gradients over steps are not kept in checkpoints"
        raise InputError([Problem(where, f"{text}; use a larger batch_size")])
    if not isinstance(made, mx.optimizer.Optimizer):
        told = told_as_foreign(made, GLUON.name)
        raise InputError([Problem(where, f"makes a {told or f'{type(made).__name__}, not an MXNet optimizer'}")])
    if made.lr_scheduler is not None:
        text = "has a schedule of its own (lr_scheduler), in which hpcmtl cannot set the rate"
        raise InputError([Problem(where, f"{text}: leave it out, and {_GIVEN['lr_scheduler']}")])
    return made


def _unfit(make: Any, options: Mapping[str, Any]) -> Iterator[str]:
    """Yields options that no class of the optimizer takes, and those that are no numbers where the default is one."""
    known: dict[str, Any] = {}
    for each in make.__mro__ if isinstance(make, type) else [make]:
        signature = inspect.signature(getattr(each, "__init__") if isinstance(each, type) else each).parameters  # noqa: B009 - mypy takes `each.__init__` for that of an instance
        known = {**{name: parameter.default for name, parameter in signature.items()}, **known}
    known = {name: default for name, default in known.items() if name not in {"self", "args", "kwargs"}}
    open_ended = not (isinstance(make, type) and issubclass(make, mx.optimizer.Optimizer))
    yield from unfit_options(options, known, _GIVEN, open_ended=open_ended)


def _leaves(state: Any, place: str = "0") -> Iterator[tuple[str, Any]]:
    """Yields the NDArrays of an optimizer's state (None, an array, or nested tuples) with their positions."""
    if isinstance(state, list | tuple):
        for index, entry in enumerate(state):
            yield from _leaves(entry, f"{place}.{index}")
    elif state is not None:
        yield place, state
