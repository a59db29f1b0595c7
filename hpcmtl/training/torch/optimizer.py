"""PyTorch optimizers over named parameters, with their whole state as named arrays."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl.errors import InputError, Problem
from hpcmtl.training.in_place import mark_of
from hpcmtl.training.parameter_groups import NONE
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.make_optimizer import CLASSES, FUSED, RATE, make_optimizer, parameters_of
from hpcmtl.training.torch.without_compiler import take_step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.arrays import Arrays
    from hpcmtl.jobfile.tasks import Optimizer

torch = import_torch()

_MEMBERS, _STEP = "params", "step"
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
        self._partly_fresh = False  # whether some parameters may have a state, and others none

    @property
    def optimizers(self) -> list[Any]:
        """See `ParameterUpdater`."""
        return [self._optimizer]

    def update(self, learning_rate: float, rescale: float, resting: frozenset[str] = NONE) -> None:
        """See `ParameterUpdater`; gradients are multiplied in place.

        PyTorch's optimizers skip a parameter without a gradient, and keep its moments and its count of steps.
        """
        if rescale != 1.0:
            torch._foreach_mul_([parameter.grad for parameter in self._parameters], rescale)
        for group in self._groups:
            rate = group[RATE]
            if isinstance(rate, torch.Tensor):
                rate.fill_(learning_rate)
            else:
                group[RATE] = learning_rate
        if not resting and not self._partly_fresh:
            take_step(self._optimizer)
            return
        self._partly_fresh = bool(resting)
        gradients = [each.grad for each in self._parameters]
        for moved in self._moved(resting):
            for each, gradient in zip(self._parameters, gradients, strict=True):
                each.grad = gradient if id(each) in moved else None
            take_step(self._optimizer)
        for each, gradient in zip(self._parameters, gradients, strict=True):
            each.grad = gradient

    def _moved(self, resting: frozenset[str]) -> list[set[int]]:
        """Returns the ids of the parameters that do not rest, those together that one step updates.

        One kernel of PyTorch takes either parameters with moments or those without (torch 2.13: SGD with momentum).
        """
        moved = [each for name, each in zip(self._names, self._parameters, strict=True) if name not in resting]
        fused = any(group.get(FUSED) for group in self._groups)
        fresh = {id(each) for each in moved if fused and not self._optimizer.state.get(each)}
        return [each for each in (fresh, {id(each) for each in moved} - fresh) if each]

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
        self._partly_fresh = 0 < len(self._optimizer.state) < len(self._parameters)
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
        on_device = any(group.get(option) for group in self._groups for option in (FUSED, "capturable"))
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
            {key: self._plain(key, value) for key, value in group.items() if key not in {RATE, _MEMBERS}}
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
    for make in CLASSES.values():
        for options in ({}, {FUSED: True}) if FUSED in parameters_of(make) else ({},):
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
