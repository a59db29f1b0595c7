"""Checks and descriptions of heads that take outputs of each other, or must agree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpcmtl.errors import nearest
from hpcmtl.networks.consistency import (
    OF_CLASSES,
    Consistency,
    consistency_problem,
    table_matrix,
    values_of_loss,
)
from hpcmtl.networks.coupled_heads import TRUNK, HeadInputs, order_of_heads

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.networks.objective import Objective
    from hpcmtl.networks.shapes import Shape
    from hpcmtl.training.kinds.schemas import Head, Joint

_SURE = 1e-6  # largest difference of the sum of a row of probabilities from 1


def inputs_of_heads(heads: Mapping[str, Head]) -> tuple[tuple[str, HeadInputs], ...]:
    """Returns the inputs of those heads that name some."""
    return tuple(
        (name, HeadInputs(head.inputs, head.gradient or "pass"))
        for name, head in heads.items()
        if head.inputs is not None
    )


def check_head_inputs(heads: Mapping[str, Head]) -> Iterator[Finding]:
    """Yields inputs of heads that are no heads, and heads that wait for each other."""
    inputs = {name: head.inputs for name, head in heads.items() if head.inputs is not None}
    if inputs and TRUNK in heads:
        text = f"{TRUNK!r} among `inputs` is the output of the trunk, so that no head can have this name"
        yield ("heads", TRUNK), f"{text}; give it another one"
        return
    for name, given in inputs.items():
        if heads[name].part is not None:
            text = f"it is a part of the network of {heads[name].from_}, which takes the output of the trunk alone"
            yield ("heads", name, "inputs"), f"{text}; leave `inputs` out"
        for each in given:
            if each not in heads and each != TRUNK:
                text = f"the task has no head {each!r}{nearest(each, [TRUNK, *heads])}"
                yield ("heads", name, "inputs"), text
    try:
        order_of_heads(list(heads), inputs)
    except ValueError as error:
        first = str(error).partition(" ")[0]
        text = f"heads wait for each other's outputs: {error}"
        yield ("heads", first, "inputs"), f"{text}; leave one of these inputs out"


def check_coupled_mode(task: Joint) -> Iterator[Finding]:
    """Yields keys of heads that depend on each other, which the mode of a task leaves without an effect."""
    if task.consistency and task.mode != "joint":
        text = f"`mode: {task.mode}` trains one head at once, and a consistency loss trains two"
        yield ("consistency",), f"{text}; leave one of both out"
    for name, head in task.heads.items() if task.mode == "separate" else ():
        if head.inputs is not None:
            text = "`mode: separate` makes a task of each head, which has no outputs of other heads"
            yield ("heads", name, "inputs"), f"{text}; leave one of both out"


def check_consistency(task: Joint) -> Iterator[Finding]:
    """Yields consistency losses of heads that the task does not have."""
    for name, keys in task.consistency.items():
        path = ("consistency", name)
        if name in task.heads:
            yield path, "is the name of a head as well, and losses are told by name; give it another one"
        for head in keys.heads:
            if head not in task.heads:
                yield (*path, "heads"), f"the task has no head {head!r}{nearest(head, task.heads)}"


def consistency_of(task: Joint, objectives: Mapping[str, Objective]) -> tuple[Consistency, ...]:
    """Returns the consistency losses of a task, by its objectives; without those of heads that it does not have."""
    found = []
    for name, keys in task.consistency.items():
        if not set(keys.heads) <= objectives.keys():
            continue
        one, two = (values_of_loss(objectives[head].loss) for head in keys.heads)
        rows = tuple(row for row in keys.map or () if isinstance(row, tuple))
        table = tuple(row for row in keys.map or () if isinstance(row, int))
        found.append(
            Consistency(
                name=name,
                heads=keys.heads,
                loss=keys.loss,
                values=(one, two),
                weight=keys.weight,
                map=rows or (table_matrix(table) if table else None),
                stop_gradient=keys.stop_gradient,
                unlabelled=keys.samples == "unlabelled",
            )
        )
    return tuple(found)


def check_agreement(
    consistency: tuple[Consistency, ...], objectives: Mapping[str, Objective], lacking: Collection[str]
) -> Iterator[Finding]:
    """Yields consistency losses that the outputs of their heads cannot have.

    Args:
        consistency: the losses.
        objectives: objective of each head.
        lacking: heads of which samples may lack a label.
    """
    for each in consistency:
        path, heads = ("consistency", each.name), [objectives[head] for head in each.heads]
        for head, values in zip(heads, each.values, strict=True):
            if head.per_token:
                text = f"{head.name} has an output for each token, and a consistency loss compares one of each sample"
                yield (*path, "heads"), f"{text}; use heads without `per_token`"
            elif each.loss in OF_CLASSES and values == "plain":
                text = f"{each.loss} compares probabilities of classes, but {head.loss} of {head.name} trains no scores"
                yield (*path, "loss"), f"{text}; use l2, or a function of your own"
        if each.loss in OF_CLASSES and each.map is not None:
            yield from _check_rows((*path, "map"), each.map)
        if each.unlabelled and not any(head in lacking for head in each.heads):
            text = f"all samples have labels of {' and '.join(each.heads)}"
            yield (*path, "samples"), f"{text}; leave it out, or give a head `missing` or `mask`"


def _check_rows(path: tuple[str, ...], rows: tuple[tuple[float, ...], ...]) -> Iterator[Finding]:
    """Yields the first row that is no distribution over the classes of the second head."""
    for number, row in enumerate(rows):
        if min(row) < 0 or abs(math.fsum(row) - 1) > _SURE:
            text = f"row {number} is {list(row)}, whose sum is {math.fsum(row):g}"
            yield path, f"{text}; a row has the probabilities of the second head's classes, which add up to 1"
            return


def check_shapes(consistency: tuple[Consistency, ...], shapes: Mapping[str, Shape | None]) -> Iterator[Finding]:
    """Yields consistency losses that cannot compare outputs of some shapes, by the names of the heads."""
    for each in consistency:
        problem = consistency_problem(each, *(shapes.get(head) for head in each.heads))
        if problem is not None:
            yield ("consistency", each.name, "heads" if each.map is None else "map"), problem
