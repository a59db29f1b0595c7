"""Makes the module of a network, and refuses modules that could not be trained as they are written.

Users' modules may raise anything when they are built or run. Each error becomes an `InputError` here, so that it fails
one task and not the run.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem, reason_of
from hpcmtl.networks.description import values_by_input
from hpcmtl.networks.shapes import shapes_text
from hpcmtl.training.torch.attributes import ModuleAttributes, restored
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.samples import require_inputs, run, trial_samples
from hpcmtl.training.torch.zoo import build

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.shapes import InputShapes

torch = import_torch()
nn = torch.nn
_STORED = {
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.float32, torch.float64),
}
_OF_TORCH = frozenset(vars(nn.Module()))  # attributes that every module has
_TAKEN: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()  # a set would compare tensors


def make_module(network: NetworkDescription, samples: InputShapes) -> Any:
    """Returns the module of a network with initial parameters, after it has run on one sample of ones.

    Raises:
        InputError: it cannot be built, cannot run on such a sample, or has parameters that cannot be trained.
    """
    module = build(network, samples)
    require_inputs(module, samples)
    problems = [*_taken(module), *_lost_children(module), *_unusable_modules(module), *_other_types(module)]
    if problems:
        raise InputError(problems)
    try:
        module.eval()
        made = {name: each for name, each in module.named_parameters() if not nn.parameter.is_lazy(each)}
        with torch.no_grad(), restored(made):  # `nn.Embedding(max_norm=...)` changes its weight in each pass
            attributes = [] if _is_lazy(module) else [ModuleAttributes(module)]
            values = values_by_input(network, samples)
            run(module, trial_samples(1, samples, values))  # lazy modules infer their shapes from data only
            for each in attributes:
                each.restore()
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        text = f"cannot run on one sample of shape {shapes_text(samples)}: {reason_of(error)}"
        raise InputError([Problem("model", text + _of_one_sample(module))]) from error
    problems = [*_unkept_state(module), *_unreached(module), *_without_numpy(module), *_overlapping(module)]
    if problems:
        raise InputError(problems)
    for each in named_tensors(module).values():
        each.data = each.data.contiguous()  # kernels run flat over a parameter and its gradient, as collectives do
    return module


def named_tensors(module: Any) -> dict[str, Any]:
    """Returns parameters and persistent buffers under all their names, in the order of the names."""
    return dict(sorted(module.state_dict(keep_vars=True).items()))


def buffers_of(modules: Iterable[Any]) -> set[int]:
    """Returns the ids of the buffers of some modules."""
    return {id(each) for module in modules for each in module.buffers()}


def is_normalisation(module: Any) -> bool:
    """Returns whether a module is a batch normalisation, which keeps running statistics of its inputs."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 - the base of all of them has no other name


def _is_lazy(module: Any) -> bool:
    """Returns whether a module in a network takes sizes from its first samples, which it keeps in attributes."""
    return any(isinstance(each, nn.modules.lazy.LazyModuleMixin) for each in module.modules())


def _of_one_sample(module: Any) -> str:
    """Returns a remedy where a batch normalisation may be what cannot run on a single sample in inference."""
    untracked = [name for name, each in module.named_modules() if is_normalisation(each) and each.running_mean is None]
    if not untracked:
        return ""
    text = f"; {', '.join(untracked)} without running statistics needs several samples, and any number may be evaluated"
    return f"{text}: leave `track_running_stats=False` out"


def _taken(module: Any) -> Iterator[Problem]:
    """Yields parameters that a network built before has as well, such as those of a module kept in a user's file."""
    parameters = dict(module.named_parameters())
    shared = [name for name, each in parameters.items() if _TAKEN.get(id(each)) is each]
    if shared:
        text = f"{', '.join(shared[:3])} belong to a network that was built before, and would be trained with it"
        yield Problem("model", f"{text}; make new modules at each call, none when the file is imported")
    _TAKEN.update({id(each): each for each in parameters.values()})


def _lost_children(module: Any) -> Iterator[Problem]:
    """Yields modules that PyTorch does not know of, since they are in a list, tuple or dict of their parent."""
    there = set(module.modules())
    for parent in there:
        for attribute in vars(parent).keys() - _OF_TORCH:
            value = getattr(parent, attribute)
            if isinstance(value, list | tuple | dict) and not there.issuperset(_modules_in(value)):
                text = f"{type(parent).__name__}.{attribute} is a {type(value).__name__} of modules"
                remedy = "they would not be trained; use nn.ModuleList or nn.ModuleDict"
                yield Problem("model", f"{text}, which PyTorch does not take for children: {remedy}")


def _modules_in(value: Any) -> Iterator[Any]:
    """Yields the modules in lists, tuples and dicts inside of each other."""
    if isinstance(value, nn.Module):
        yield value
    elif isinstance(value, list | tuple | dict):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _modules_in(each)


def _unusable_modules(module: Any) -> Iterator[Problem]:
    """Yields modules that talk to other processes by themselves."""
    for name, each in module.named_modules():
        if isinstance(each, nn.SyncBatchNorm | nn.parallel.DistributedDataParallel | nn.DataParallel):
            text = f"{name or 'the network'} is a {type(each).__name__}, which needs process groups of PyTorch's own"
            yield Problem("model", f"{text}; write the plain module, hpcmtl trains it on all ranks")


def _unkept_state(module: Any) -> Iterator[Problem]:
    """Yields state that is no tensor, and so cannot be kept in an artifact."""
    for name, value in module.state_dict(keep_vars=True).items():
        if not isinstance(value, torch.Tensor) or name.endswith("_extra_state"):
            text = f"{name} is a {type(value).__name__} in `state_dict`; artifacts keep parameters and buffers alone"
            yield Problem("model", f"{text}; leave `get_extra_state` out, or keep it in a buffer")


def _without_numpy(module: Any) -> Iterator[Problem]:
    """Yields buffers of a type that numpy does not have, so that neither artifacts nor messages can carry it."""
    for name, each in named_tensors(module).items():
        if isinstance(each, torch.Tensor) and each.dtype not in _STORED and not isinstance(each, nn.Parameter):
            text = f"the buffer {name} is {str(each.dtype).removeprefix('torch.')}, which artifacts cannot keep"
            yield Problem("model", f"{text}; make it float32, or `persistent=False` if it need not be kept")


def _overlapping(module: Any) -> Iterator[Problem]:
    """Yields tensors that lie transposed or with gaps in memory which another one uses too."""
    places: dict[int, list[str]] = {}
    tensors = {n: each for n, each in named_tensors(module).items() if isinstance(each, torch.Tensor)}
    single = {id(each): name for name, each in tensors.items() if not nn.parameter.is_lazy(each)}
    for name in single.values():
        places.setdefault(tensors[name].untyped_storage().data_ptr(), []).append(name)
    for names in places.values():
        if len(names) > 1 and not all(tensors[name].is_contiguous() for name in names):
            text = f"{' and '.join(names)} are views of one memory, in other orders"
            yield Problem("model", f"{text}; give each its own memory (`.clone()`), or use one parameter twice")


def _unreached(module: Any) -> Iterator[Problem]:
    """Yields parameters that have no shape after a forward pass."""
    lazy = [name for name, each in module.named_parameters() if nn.parameter.is_lazy(each)]
    if lazy:
        text = f"a forward pass does not reach {', '.join(lazy)}, and their shapes are not known"
        yield Problem("model", f"{text}; use the layer, leave it out, or give its sizes (in_features, in_channels)")


def _other_types(module: Any) -> Iterator[Problem]:
    """Yields parameters of another type than float32; buffers may have any."""
    other = {name: each.dtype for name, each in module.named_parameters() if each.dtype != torch.float32}
    if other:
        listed = ", ".join(f"{name} ({str(dtype).removeprefix('torch.')})" for name, dtype in list(other.items())[:3])
        text = f"{len(other)} parameters are not float32: {listed}"
        yield Problem("model", f"{text}; leave `half`, `double` and `to(dtype)` out, hpcmtl trains float32 parameters")
