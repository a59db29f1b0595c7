"""PyTorch optimizers over named parameters, with their whole state as named arrays."""

from __future__ import annotations

import inspect
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem, nearest, reason_of
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.networks.strict import is_truth_in_text
from hpcmtl.training.in_place import mark_of
from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.jobfile.tasks import Optimizer

torch = import_torch()

_CLASSES = {
    each.lower(): getattr(torch.optim, each)
    for each in (
        *("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop"),
        *("Adagrad", "Adadelta", "Adafactor", "ASGD", "Rprop"),
    )
    if hasattr(torch.optim, each)
}
_GIVEN = {
    "lr": "use `learning_rate` of the optimizer",
    "weight_decay": "use `weight_decay` of the optimizer",
    "params": "leave it out, hpcmtl sets it",
}
"""Options of PyTorch's optimizers that are not for users, and what to do in their place."""
_RATE, _DECAY, _MEMBERS, _STEP = "lr", "weight_decay", "params", "step"
_FUSED = "fused"
_WAYS = {_FUSED, "foreach", "differentiable", "capturable"}
"""Options of PyTorch's optimizers that choose how an update is computed."""
_PLAIN = "plain"
"""Name of the array that holds what the optimizer keeps beside tensors, as JSON in bytes."""
_SCALARS = (bool, int, float, str, type(None))


class TorchUpdater:
    """Updates parameters with their gradients; see `ParameterUpdater`.

    Attributes:
        may_draw: whether updates may draw random numbers: a user's optimizer may.
    """

    def __init__(self, parameters: Mapping[str, Any], optimizer: Optimizer) -> None:
        self._names, self._parameters = list(parameters), list(parameters.values())
        self._name = f"optimizer {optimizer.name}"
        self._optimizer = make_optimizer(optimizer, self._parameters)
        self.may_draw = not type(self._optimizer).__module__.startswith("torch.")
        self._groups = self._optimizer.param_groups
        self._marks: dict[str, object] = {}  # private attributes that cannot be kept, as they were first
        self._of_parameters = [sorted(vars(each)) for each in self._parameters]
        self._first = self._plain_state()

    @property
    def optimizers(self) -> list[Any]:
        """See `ParameterUpdater`."""
        return [self._optimizer]

    def update(self, learning_rate: float, rescale: float) -> None:
        """See `ParameterUpdater`; gradients are multiplied in place."""
        if rescale != 1.0:
            torch._foreach_mul_([parameter.grad for parameter in self._parameters], rescale)
        for group in self._groups:
            rate = group[_RATE]
            if isinstance(rate, torch.Tensor):
                rate.fill_(learning_rate)
            else:
                group[_RATE] = learning_rate
        self._optimizer.step()

    def state(self) -> Arrays:
        """Returns copies of the whole state.

        These are the tensors that the optimizer keeps for a parameter, ``<parameter>/<its name>``, and whatever else
        it keeps, as JSON under ``plain``.

        Raises:
            InputError: it keeps something that is neither a tensor nor a number, text or truth value.
        """
        arrays = {
            f"{name}/{key}": value.detach().cpu().numpy().copy()
            for name, key, value in self._kept()
            if isinstance(value, torch.Tensor)
        }
        plain = self._plain_state()
        return arrays if plain == self._first else {**arrays, _PLAIN: np.frombuffer(plain.encode(), np.uint8)}

    def load_state(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Restores what `state` returned."""
        plain = json.loads(np.asarray(arrays[_PLAIN]).tobytes() if _PLAIN in arrays else self._first)
        self._optimizer.state.clear()
        for name, parameter in zip(self._names, self._parameters, strict=True):
            prefix = f"{name}/"
            tensors = {
                key.removeprefix(prefix): self._tensor(key.removeprefix(prefix), array, parameter)
                for key, array in arrays.items()
                if key.startswith(prefix)
            }
            state = {**tensors, **plain["state"].get(name, {})}
            if state:
                self._optimizer.state[parameter] = state
        for group, values in zip(self._groups, plain["groups"], strict=True):
            for key, value in values.items():
                if isinstance(group.get(key), torch.Tensor):
                    group[key].fill_(value)
                else:
                    group[key] = tuple(value) if isinstance(value, list) else value
        for name, value in plain.get("attributes", {}).items():
            setattr(self._optimizer, name, value)

    def _tensor(self, key: str, array: np.ndarray[Any, Any], parameter: Any) -> Any:
        """Returns a tensor of the state on the device of its parameter; the counter of steps stays on the host.

        So does `torch.optim`, unless the update reads the counter on the device (`fused` or `capturable`).
        """
        made = torch.tensor(np.ascontiguousarray(array)).reshape(array.shape)
        on_device = any(group.get(option) for group in self._groups for option in (_FUSED, "capturable"))
        return made if key == _STEP and not on_device else made.to(parameter.device)

    def _kept(self) -> Iterator[tuple[str, str, Any]]:
        """Yields name of the parameter, key and value of all that the optimizer keeps for parameters."""
        others = [key for key in self._optimizer.state if all(key is not each for each in self._parameters)]
        if others:
            text = f"keeps {others[0]!r} in its `state`, beside what belongs to parameters; a checkpoint would lose it"
            raise InputError([Problem(self._name, f"{text}: keep it for each parameter, or as an attribute")])
        for name, parameter, first in zip(self._names, self._parameters, self._of_parameters, strict=True):
            if sorted(vars(parameter)) != first:
                made = ", ".join(sorted(set(vars(parameter)).difference(first)))
                text = f"makes attributes of a parameter ({made}), which a checkpoint would lose"
                raise InputError([Problem(self._name, f"{text}; keep such values in `state`")])
            for key, value in self._optimizer.state.get(parameter, {}).items():
                if not isinstance(value, (torch.Tensor, *_SCALARS)):
                    text = f"keeps a {type(value).__name__} for each parameter ({key}), which a checkpoint cannot hold"
                    raise InputError([Problem(self._name, f"{text}; keep tensors, numbers or texts in its `state`")])
                yield name, key, value

    def _plain_state(self) -> str:
        state: dict[str, dict[str, Any]] = {}
        for name, key, value in self._kept():
            if not isinstance(value, torch.Tensor):
                state.setdefault(name, {})[key] = value
        groups = [
            {key: self._plain(key, value) for key, value in group.items() if key not in {_RATE, _MEMBERS}}
            for group in self._groups
        ]
        own = {n: v for n, v in vars(self._optimizer).items() if n not in _attributes_of_torch()}
        attributes = {n: self._plain(n, v) for n, v in own.items() if not callable(v) and self._is_kept(n, v)}
        return json.dumps({"state": state, "groups": groups, "attributes": attributes})

    def _is_kept(self, name: str, value: Any) -> bool:
        """Returns whether an attribute is kept; a private one that cannot be, and stays as it was made, need not be."""
        if not name.startswith("_") or _is_plain(value):
            return True
        mark = _mark(value, self._parameters)
        return self._marks.setdefault(name, mark) != mark

    def _plain(self, name: str, value: Any) -> Any:
        """Returns a value that JSON can hold.

        Raises:
            InputError: it cannot.
        """
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            return value.item()
        if not _is_plain(value):
            text = f"keeps {name}, a {type(value).__name__}, which a checkpoint cannot hold"
            raise InputError([Problem(self._name, f"{text}; keep tensors for each parameter, or numbers and texts")])
        return value


@cache
def _attributes_of_torch() -> frozenset[str]:
    """Returns the names of attributes in which PyTorch's own optimizers keep what is no user's.

    All others may be, private ones too, and the `defaults`, to which a user's code may add.
    """
    found: set[str] = set()
    for make in _CLASSES.values():
        for options in ({}, {_FUSED: True}) if _FUSED in _parameters_of(make) else ({},):
            made = make([torch.nn.Parameter(torch.zeros(1))], lr=0.1, **options)
            found.update(vars(made))
    return frozenset(found - {"defaults"})


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    return isinstance(value, _SCALARS) or (isinstance(value, list | tuple) and all(map(_is_plain, value)))


def _mark(value: Any, parameters: Sequence[Any]) -> object:
    """Returns a value that is equal as long as another one is; its parameters count as their places."""
    places = {id(each): place for place, each in enumerate(parameters)}
    if isinstance(value, list | tuple):
        return [_mark(each, parameters) for each in value]
    if isinstance(value, dict):
        return [(_mark(key, parameters), _mark(each, parameters)) for key, each in value.items()]
    if id(value) in places:
        return places[id(value)]
    return mark_of(value)


def make_optimizer(optimizer: Optimizer, parameters: list[Any], *, fused: bool = True) -> Any:
    """Makes the PyTorch optimizer of a job for some parameters.

    Args:
        optimizer: optimizer of the job.
        parameters: parameters to update.
        fused: whether PyTorch may update them by one kernel of its own, which reads and writes each number once. On
            CPUs it is 2 to 7 times as quick as its default, which is several operations on each parameter.

    Raises:
        InputError: a user's optimizer cannot be imported or is none, or the options do not fit.
    """
    where = f"optimizer {optimizer.name}"
    make = resolve(optimizer.name) if ":" in optimizer.name else _CLASSES[optimizer.name.lower()]
    problems = [Problem(where, text) for text in _unfit(make, optimizer)]
    if problems:
        raise InputError(problems)
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in optimizer.options.items()}
    one_kernel = {_FUSED: True} if fused and _can_be_fused(make, optimizer, parameters) else {}
    options = {_RATE: optimizer.learning_rate, **_decay(make, optimizer), **one_kernel, **options}
    try:
        made = make(parameters, **options)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError([Problem(where, f"cannot be made with {options}: {reason_of(error)}")]) from error
    if not isinstance(made, torch.optim.Optimizer):
        raise InputError([Problem(where, f"makes a {type(made).__name__}, not a torch.optim.Optimizer")])
    if len({float(group[_RATE]) for group in made.param_groups}) > 1:
        text = "makes groups of parameters with rates of their own, which hpcmtl would set to one rate"
        raise InputError([Problem(where, f"{text}; write them under `groups` of the optimizer in the job file")])
    if isinstance(made, torch.optim.LBFGS | torch.optim.SparseAdam):
        several = isinstance(made, torch.optim.LBFGS)
        text = "evaluates the loss several times a step" if several else "wants sparse gradients"
        raise InputError([Problem(where, f"{text}, which hpcmtl does not give; use adam or sgd")])
    return made


def _can_be_fused(make: Any, optimizer: Optimizer, parameters: list[Any]) -> bool:
    """Returns whether a class of PyTorch has one kernel for these parameters, and no option asks for another way."""
    fits = all(each.is_floating_point() and each.device.type == "cpu" for each in parameters)
    return (
        ":" not in optimizer.name and _FUSED in _parameters_of(make) and fits and not _WAYS & optimizer.options.keys()
    )


def _decay(make: Any, optimizer: Optimizer) -> dict[str, float]:
    """Returns the weight decay as an argument, also where it is 0: the default of some classes is not."""
    return {_DECAY: optimizer.weight_decay} if _DECAY in _parameters_of(make) or _is_open_ended(make) else {}


def _is_open_ended(make: Any) -> bool:
    """Returns whether a class or function takes arguments of any name."""
    return any(each.kind is each.VAR_KEYWORD for each in inspect.signature(make).parameters.values())


def _parameters_of(make: Any) -> dict[str, Any]:
    """Returns the arguments that a class or function takes, with their defaults."""
    found = inspect.signature(make).parameters.values()
    return {each.name: each.default for each in found if each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}}


def _unfit(make: Any, optimizer: Optimizer) -> Iterator[str]:
    """Yields options that the optimizer does not take, and those that are no numbers where the default is one."""
    known = _parameters_of(make)
    open_ended = _is_open_ended(make)
    if optimizer.weight_decay and _DECAY not in known and not open_ended:
        yield f"takes no weight_decay, and it is {optimizer.weight_decay}; write 0 or use another optimizer"
    for name, value in optimizer.options.items():
        if name in _GIVEN:
            yield f"option {name} would have no effect: {_GIVEN[name]}"
        elif name not in known:
            if not open_ended:
                yield f"has no option {name!r}{nearest(name, known.keys() - _GIVEN.keys())}"
        elif _is_number(known[name]) and not _is_number(value):
            yield f"option {name} is {value!r}; it takes a number, such as {known[name]!r}"
        elif isinstance(known[name], bool) and is_truth_in_text(value):
            yield f"option {name} is {value!r}, a text, which counts as true; write true or false, without quotes"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
