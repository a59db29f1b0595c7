"""Tensors and attributes of users' modules that passes change and trials must not leave behind."""

from __future__ import annotations

import copy
import pickle
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

torch = import_torch()
_KEPT_ELSEWHERE = (torch.nn.Module, torch.nn.Parameter)


class ModuleAttributes:
    """Holds the attributes of users' modules that can be pickled, and the buffers that no state has, as they are now.

    Args:
        modules: networks and losses, with all modules inside them.
    """

    def __init__(self, modules: Iterable[Any]) -> None:
        self._modules = [each for module in modules for each in module.modules() if _is_of_user(each)]
        self._before = {
            (number, name): (copy.deepcopy(value), mark)
            for number, module in enumerate(self._modules)
            for name, value in _attributes(module).items()
            if (mark := _mark(value)) is not None
        }

    def restore(self) -> list[str]:
        """Sets the attributes that have changed to their former values, and returns them, as ``Class.attribute``."""
        changed = []
        for (number, name), (value, mark) in self._before.items():
            module = self._modules[number]
            if _mark(_attributes(module).get(name)) == mark:
                continue
            changed.append(f"{type(module).__name__}.{name}")
            kept = _attributes(module).get(name)
            if isinstance(kept, torch.Tensor) and kept.shape == value.shape:
                with torch.no_grad():
                    kept.copy_(value)
            else:
                setattr(module, name, value)
        return sorted(set(changed))


@contextmanager
def restored(tensors: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Restores tensors after a block; gives it their values before."""
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    try:
        yield before
    finally:
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(before[name])


def _is_of_user(module: Any) -> bool:
    return not type(module).__module__.startswith(("torch.", "hpcmtl."))


def _attributes(module: Any) -> dict[str, Any]:
    """Returns attributes by name, with buffers that the state does not have."""
    own = {n: v for n, v in vars(module).items() if not n.startswith("_") and n != "training"}
    unkept = module._non_persistent_buffers_set  # noqa: SLF001 - has no other name
    buffers = {name: module._buffers[name] for name in unkept}  # noqa: SLF001 - as above
    return {**{name: value for name, value in own.items() if not isinstance(value, _KEPT_ELSEWHERE)}, **buffers}


def _mark(value: Any) -> object:
    """Returns a value that is equal as long as another one is; None for what cannot be pickled."""
    try:
        return value.detach().numpy().tobytes() if isinstance(value, torch.Tensor) else pickle.dumps(value)
    except Exception:  # noqa: BLE001 - classes of users may raise anything
        return None
