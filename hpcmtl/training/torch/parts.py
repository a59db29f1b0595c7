"""Parts of a PyTorch network by name, and the output of a part when the whole network runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem, nearest, reason_of
from hpcmtl.training.torch.compat import import_torch
from hpcmtl.training.torch.samples import run

if TYPE_CHECKING:
    from collections.abc import Mapping

torch = import_torch()


def part_of(module: Any, part: str) -> Any:
    """Returns the module inside another by its name in the job: names of modules, joined by dots.

    Examples are ``encoder``, ``features.3`` and ``5``, the sixth module of a sequential network.

    Raises:
        InputError: there is no such module.
    """
    found = module
    for step in part.split("."):
        children = dict(found.named_children())
        if step not in children:
            text = f"{type(found).__name__} has no module {step!r}{nearest(step, children)}"
            raise InputError([Problem(f"part {part}", text)])
        found = children[step]
    return found


def output_of_part(module: Any, part: str, samples: Mapping[str, Any]) -> Any:
    """Returns what a part puts out when the whole network runs on samples.

    The part alone would be another function: its input is not the input of the network, unless it comes first.

    Raises:
        InputError: there is no such part, or it does not run exactly once, with one array for the samples.
    """
    seen: list[Any] = []

    def _keep(_module: Any, _inputs: Any, output: Any) -> None:
        seen.append(output.clone() if isinstance(output, torch.Tensor) else output)  # the next part may work in place

    handle = part_of(module, part).register_forward_hook(_keep)
    try:
        run(module, samples)
    except (Exception, SystemExit) as error:
        raise InputError([Problem(f"part {part}", f"the network fails: {reason_of(error)}")]) from error
    finally:
        handle.remove()
    rows = next(iter(samples.values())).shape[:1]
    if len(seen) != 1 or not isinstance(seen[0], torch.Tensor) or seen[0].shape[:1] != rows:
        output = f"{type(seen[0]).__name__} {tuple(getattr(seen[0], 'shape', ()))}" if seen else "no"
        text = f"it runs {len(seen)} times in a forward pass, with {output} output"
        remedy = "a part that can be stored runs once, and puts out one array with a row for each sample"
        raise InputError([Problem(f"part {part}", f"{text}; {remedy}")])
    return seen[0]
