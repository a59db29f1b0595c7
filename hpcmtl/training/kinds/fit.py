"""Checks that the samples of an array fit a network, and the outputs of the network their targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.errors import nearest
from hpcmtl.networks.description import objective_shapes, parts_of
from hpcmtl.networks.models import ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.networks.description import NetworkDescription
    from hpcmtl.networks.models import Shape
    from hpcmtl.networks.objective import Objective


def check_part(path: tuple[str, ...], network: NetworkDescription, part: str) -> Iterator[Finding]:
    """Yields a problem if a network does not have a part; a network that only building describes is not checked."""
    valid = parts_of(network)
    if valid is not None and part not in valid:
        yield path, f"the network has no part {part!r}{nearest(part, valid)}"


def check_fit(
    network: NetworkDescription,
    reference: str,
    objectives: tuple[Objective, ...],
    arrays: Mapping[str, ArraySpec],
) -> Iterator[Finding]:
    """Yields the key of each array that does not fit a network, as far as shapes are known.

    Args:
        network: description of the network.
        reference: reference of the network's input.
        objectives: objectives whose targets are compared with the outputs.
        arrays: known arrays by reference.
    """
    array = arrays.get(reference)
    if array is None or array.shape is None:
        return
    try:
        shapes = objective_shapes(network, array.shape)
    except ShapeError as error:
        yield ("input",), f"{reference}: {error}"
        return
    for objective in objectives:
        target, made = arrays.get(objective.target), shapes.get(objective.name)
        if target is None or target.shape is None or made is None:
            continue
        problem = _misfit(objective, made, target)
        if problem:
            yield ("heads", objective.name, "target") if len(shapes) > 1 else ("target",), problem


def _misfit(objective: Objective, made: Shape, target: ArraySpec) -> str | None:
    """Returns a message if an output of shape `made` does not fit its target, else None."""
    name, shape = objective.target, target.shape
    if objective.loss == "softmax_ce":
        if shape != () or target.kind not in "iu":
            return (
                f"softmax_ce needs one whole number a sample; {name} has samples of shape {shape}, kind {target.kind!r}"
            )
        if len(made) != 1:
            return f"softmax_ce needs one score a class, but the network makes samples of shape {made}"
        if target.classes is not None and made[0] < target.classes:
            return f"{name} has {target.classes} classes but the network makes {made[0]} outputs; it needs one a class"
        return None
    scalar = made == (1,) and shape == ()
    if objective.loss in {"l2", "l1", "huber", "sigmoid_bce"} and made != shape and not scalar:
        return f"the network makes samples of shape {made}, but {name} has samples of shape {shape}"
    return None
