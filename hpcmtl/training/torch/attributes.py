"""Tensors and attributes of users' modules that passes change and trials must not leave behind."""

from __future__ import annotations

import pickle
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.training.in_place import set_back
from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

torch = import_torch()
_KEPT_ELSEWHERE = (torch.nn.Module, torch.nn.Parameter)
_OF_MODULES = frozenset(vars(torch.nn.Module()))
"""Names of the attributes that every module has."""


@dataclass(frozen=True)
class _Before:
    """Holds an attribute of a module as it was.

    Attributes:
        module: the module.
        value: the attribute itself.
        mark: a value that is equal as long as the attribute is.
        tensor: copy of a tensor; None for what can be made from the mark.
    """

    module: Any
    value: Any
    mark: bytes
    tensor: Any


class ModuleAttributes:
    """Holds what passes may change in modules and no checkpoint has, as it is now.

    That are attributes that can be pickled, private ones too, buffers that no state has, and all buffers of losses.

    Args:
        network: the network, with all modules inside it.
        losses: losses that are modules.
    """

    def __init__(self, network: Any, losses: Iterable[Any] = ()) -> None:
        self._losses = {id(inner) for loss in losses for inner in loss.modules()}
        self._before: dict[tuple[int, str], _Before] = {}
        for module in (inner for each in (network, *losses) for inner in each.modules()):
            for name, value in self._attributes(module).items():
                if (mark := _mark(value)) is not None:
                    tensor = value.detach().clone() if isinstance(value, torch.Tensor) else None
                    self._before[id(module), name] = _Before(module, value, mark, tensor)

    def restore(self) -> list[str]:
        """Sets the attributes that have changed to their former values, and returns them, as ``Class.attribute``."""
        changed = []
        for (_, name), before in self._before.items():
            now = self._attributes(before.module).get(name)
            if _mark(now) == before.mark:
                continue
            changed.append(f"{type(before.module).__name__}.{name}")
            if before.tensor is None:
                former = pickle.loads(before.mark)  # noqa: S301 - made by this process
                setattr(before.module, name, set_back(before.value, former))
            elif isinstance(now, torch.Tensor) and now.shape == before.tensor.shape:
                with torch.no_grad():
                    now.copy_(before.tensor)
            else:
                setattr(before.module, name, before.tensor)
        return sorted(set(changed))

    def _attributes(self, module: Any) -> dict[str, Any]:
        """Returns attributes by name; of PyTorch's own classes without private ones, which are theirs."""
        theirs = type(module).__module__.startswith(("torch.", "hpcmtl."))
        named = {n: v for n, v in vars(module).items() if n not in _OF_MODULES and not (theirs and n.startswith("_"))}
        own = {name: value for name, value in named.items() if not _is_kept_elsewhere(value)}
        buffers = module._buffers  # noqa: SLF001 - with those that are None, and not those of children
        if id(module) in self._losses:
            return {**own, **buffers}
        unkept = module._non_persistent_buffers_set  # noqa: SLF001 - has no other name
        return {**own, **{name: buffers[name] for name in unkept}}


def kept_buffers(module: Any) -> dict[str, Any]:
    """Returns the buffers of a network that its state has, by name."""
    return {name: each for name, each in module.state_dict(keep_vars=True).items() if not each.requires_grad}


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


def _is_kept_elsewhere(value: Any) -> bool:
    """Returns whether a value is a parameter, a module or a result of a computation, or has one inside."""
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_is_kept_elsewhere, value))
    if isinstance(value, dict):
        return any(map(_is_kept_elsewhere, value.values()))
    return isinstance(value, _KEPT_ELSEWHERE) or (isinstance(value, torch.Tensor) and value.grad_fn is not None)


def _mark(value: Any) -> bytes | None:
    """Returns a value that is equal as long as another one is; None for what cannot be pickled."""
    try:
        if not isinstance(value, torch.Tensor):
            return pickle.dumps(value)
        values = value.detach().cpu().contiguous().reshape(-1)
        content: bytes = values.view(torch.uint8).numpy().tobytes()
        return str((value.dtype, tuple(value.shape))).encode() + content
    except Exception:  # noqa: BLE001 - classes of users may raise anything
        return None
