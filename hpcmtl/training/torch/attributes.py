"""Tensors and attributes of users' modules that passes change and trials must not leave behind."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.training.code_state import CodeState
from hpcmtl.training.in_place import COPIED, Snapshot, fingerprint, set_back, snapshot, too_large
from hpcmtl.training.torch.compat import import_torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

torch = import_torch()
_KEPT_ELSEWHERE = (torch.nn.Module, torch.nn.Parameter)
_OF_MODULES = frozenset(vars(torch.nn.Module()))
"""Names of the attributes that every module has."""
_HOOKS = {
    "torch.nn.utils.spectral_norm": "name",
    "torch.nn.utils.weight_norm": "name",
    "torch.nn.utils.prune": "_tensor_name",
}
"""Modules of PyTorch's hooks that compute a weight -> the attribute that holds the name of this weight."""


@dataclass(frozen=True)
class _Before:
    """Holds an attribute of a module as it was.

    Attributes:
        module: the module.
        value: the attribute itself.
        mark: a value that is equal as long as the attribute is.
        tensor: copy of a tensor; None for what can be made from the mark, and for what is too large.
    """

    module: Any
    value: Any
    mark: object
    tensor: Any

    @property
    def is_copied(self) -> bool:
        """Returns whether the former value can be set again."""
        return self.tensor is not None or (isinstance(self.mark, Snapshot) and self.mark.copies is not None)


class ModuleAttributes:
    """Holds what passes may change in modules and no checkpoint has, as it is now.

    That are attributes that can be pickled, private ones too, buffers that no state has, all buffers of losses, and
    what functions remember, see `CodeState`.

    Args:
        network: the network, with all modules inside it.
        losses: losses, modules or functions.
    """

    def __init__(self, network: Any, losses: Iterable[Any] = ()) -> None:
        own = [each for each in losses if isinstance(each, torch.nn.Module)]
        self._losses = {id(inner) for loss in own for inner in loss.modules()}
        self._before: dict[tuple[int, str], _Before] = {}
        modules = [inner for each in (network, *own) for inner in each.modules()]
        hooks = [hook for each in network.parameters() for hook in _hooks_of(each)]
        functions = [each for each in losses if not isinstance(each, torch.nn.Module)]
        self._code = CodeState([*modules, functions, *hooks], is_kept_elsewhere)
        for module in modules:
            for name, value in self._attributes(module).items():
                if (mark := _mark(value, copied=True)) is not None:
                    is_small = isinstance(value, torch.Tensor) and value.nbytes <= COPIED
                    self._before[id(module), name] = _Before(
                        module, value, mark, value.detach().clone() if is_small else None
                    )

    def restore(self) -> list[str]:
        """Sets to their former values what has changed, and returns the names: ``Class.attribute`` for an attribute.

        Raises:
            InputError: one is too large to be copied, and has changed.
        """
        changed, large = [], []
        for (_, name), before in self._before.items():
            now = self._attributes(before.module).get(name)
            if _mark(now) == before.mark:
                continue
            changed.append(f"{type(before.module).__name__}.{name}")
            if not before.is_copied:
                large.append(changed[-1])
            elif isinstance(before.mark, Snapshot):
                setattr(before.module, name, set_back(before.value, before.mark.former()))
            elif isinstance(now, torch.Tensor) and now.shape == before.tensor.shape:
                with torch.no_grad():
                    now.copy_(before.tensor)
            else:
                setattr(before.module, name, before.tensor)
        if large:
            raise too_large(large, "a buffer of the network (`register_buffer`)")
        return sorted({*changed, *self._code.restore()})

    def _attributes(self, module: Any) -> dict[str, Any]:
        """Returns attributes by name; of PyTorch's own classes without private ones, which are theirs."""
        theirs = type(module).__module__.startswith(("torch.", "hpcmtl."))
        hidden = _OF_MODULES | _made_by_hooks(module)
        named = {n: v for n, v in vars(module).items() if n not in hidden and not (theirs and n.startswith("_"))}
        own = {name: value for name, value in named.items() if not is_kept_elsewhere(value)}
        buffers = module._buffers  # noqa: SLF001 - with those that are None, and not those of children
        if id(module) in self._losses:
            return {**own, **buffers}
        unkept = module._non_persistent_buffers_set  # noqa: SLF001 - has no other name
        return {**own, **{name: buffers[name] for name in unkept}}


def _hooks_of(parameter: Any) -> list[Any]:
    """Returns the hooks of a parameter, which are in no attribute of its module."""
    found = (parameter._backward_hooks, parameter._post_accumulate_grad_hooks)  # noqa: SLF001 - have no other names
    return [each for each in found if each]


def _made_by_hooks(module: Any) -> set[str]:
    """Returns the attributes that PyTorch's own hooks compute from parameters and buffers before each pass."""
    hooks = module._forward_pre_hooks.values()  # noqa: SLF001 - has no other name
    kinds = ((each, _HOOKS.get(kind.__module__)) for each in hooks for kind in type(each).__mro__)
    return {getattr(each, name) for each, name in kinds if name}


def kept_buffers(module: Any) -> dict[str, Any]:
    """Returns the buffers of a network that its state has, by name."""
    return {name: each for name, each in module.state_dict(keep_vars=True).items() if not each.requires_grad}


def is_kept_elsewhere(value: Any) -> bool:
    """Returns whether a value is a parameter, a module or a result of a computation, or has one inside."""
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(is_kept_elsewhere, value))
    if isinstance(value, dict):
        return any(map(is_kept_elsewhere, value.values()))
    return isinstance(value, _KEPT_ELSEWHERE) or (isinstance(value, torch.Tensor) and value.grad_fn is not None)


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


def _mark(value: Any, *, copied: bool = False) -> object | None:
    """Returns a value that is equal as long as another one is; None for what cannot be pickled.

    Args:
        value: the value.
        copied: whether the content of what is no tensor can be had from the mark, if it is not too large.
    """
    if not isinstance(value, torch.Tensor):
        return snapshot(value, copied=copied)
    try:
        values = value.detach().cpu().contiguous().reshape(-1)
        return value.dtype, tuple(value.shape), fingerprint(values.view(torch.uint8).numpy())
    except Exception:  # noqa: BLE001 - a sparse tensor, for example
        return None
