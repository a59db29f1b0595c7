"""The cut of a task into layers: their number and their bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.jobfile.sections import Layers


def layer_count(rule: Layers, input_bytes: int, steps: int, own: int | None = None) -> int:
    """Returns the number of layers of one task.

    Args:
        rule: rule of the job, from `layers` in the job file.
        input_bytes: bytes that the task reads in one pass over its data.
        steps: steps of the whole task; a layer has at least one.
        own: number from the task's own `layers`; it overrules the rule.

    Returns:
        `own`, or the rule's count (fixed), or ceil(input_bytes / quantum) within [1, max_layers] (variable); never
        more than `steps`.
    """
    if own is not None:
        wanted = own
    elif rule.policy == "fixed":
        wanted = rule.count
    else:
        wanted = min(-(-input_bytes // rule.quantum), rule.max_layers)
    return max(1, min(wanted, steps))


def layer_bounds(total: int, layers: int) -> tuple[int, ...]:
    """Cuts `total` steps (or samples) into contiguous layers that are as equal as possible.

    Returns:
        `layers` + 1 positions from 0 to `total`; layer k is [bounds[k], bounds[k + 1]), and the sizes differ by at
        most one.

    Raises:
        ValueError: `layers` is less than one, or `total` is negative.
    """
    if layers < 1 or total < 0:
        raise ValueError(f"cannot cut {total} steps into {layers} layers")
    return tuple(total * k // layers for k in range(layers + 1))
