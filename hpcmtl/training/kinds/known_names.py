"""Checks of names that a job file takes from a list: metrics, and the losses, optimizers and models of a framework."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hpcmtl.errors import nearest
from hpcmtl.frameworks.registry import loadable_descriptions
from hpcmtl.jobfile.metrics import WEIGHTED, parse_metric
from hpcmtl.jobfile.resolve import colon_form

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hpcmtl.frameworks.description import FrameworkDescription
    from hpcmtl.jobfile.findings import Finding

_ATTRIBUTE = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
_LOSSES = "losses"
_NOUNS = {_LOSSES: "loss"}


def check_listed(path: tuple[str, ...], name: str, framework: FrameworkDescription, names: str) -> Iterator[Finding]:
    """Yields a problem for a name that a framework does not know.

    Args:
        path: path of keys to the name.
        name: the name that was found.
        framework: description of the framework.
        names: attribute of the description that lists the valid names, a plural.
    """
    valid = getattr(framework, names)
    if name not in valid:
        yield path, f"{_has_no(name, framework, names)}{nearest(name, valid)}"


def check_own(path: tuple[str, ...], name: str, framework: FrameworkDescription, names: str) -> Iterator[Finding]:
    """Yields a problem for a name that a framework does not know, unless it refers to an object of the user's."""
    valid = getattr(framework, names)
    if name not in valid and not _ATTRIBUTE.match(name):
        hint = _with_colon(name, framework, names) or nearest(name, (*valid, "package.module:attribute"))
        yield path, f"{_has_no(name, framework, names)}{hint}"


def _has_no(name: str, framework: FrameworkDescription, names: str) -> str:
    return f"framework {framework.name} has no {_NOUNS.get(names, names.removesuffix('s'))} {name!r}"


def _with_colon(name: str, framework: FrameworkDescription, names: str) -> str:
    """Returns a hint for a name as Python writes it, with dots, and for a class of losses without its module."""
    last, own = name.rpartition(".")[2], colon_form(name)
    if names != _LOSSES:
        listed = [each for each in getattr(framework, names) if each == last.lower()]
        return "" if own is None else f"; write {' or '.join(map(repr, [*listed, own]))}"
    known = {each.name: _loss_of_class(each, last) for each in loadable_descriptions()}
    listed = sorted({loss for loss in known.values() if loss in framework.losses})
    if own is None and name.endswith("Loss") and framework.loss_module and (not listed or known.get(framework.name)):
        own = f"{framework.loss_module}:{name}"
    found = [*listed, *([] if own is None else [own])]
    return f"; write {' or '.join(map(repr, found))}" if found else ""


def _loss_of_class(framework: FrameworkDescription, name: str) -> str | None:
    """Returns the loss of a framework that a class is, by its name without a module."""
    return next((loss for place, loss in framework.loss_classes.items() if place.endswith(f":{name}")), None)


def check_smoothing(path: tuple[str, ...], loss: str, framework: FrameworkDescription) -> Iterator[Finding]:
    """Yields a problem for label smoothing of a loss whose labels a framework cannot smooth."""
    valid = framework.smoothed_losses
    if loss not in valid:
        text = f"framework {framework.name} smooths labels of {' and '.join(valid) or 'no loss'}, not of {loss}"
        yield path, f"{text}; leave `label_smoothing` out"


def check_metrics(path: tuple[str, ...], names: Iterable[str], *, tables: bool = False) -> Iterator[Finding]:
    """Yields a problem for each name that is no metric, or whose cut-off its metric does not take.

    Args:
        path: path of keys to the names.
        names: the names that were found.
        tables: whether the results of the task have place for tables of numbers.
    """
    for name in names:
        try:
            described = parse_metric(name).description
        except ValueError as problem:
            yield path, str(problem)
        else:
            if described is not None and described.publishes_table and not tables:
                yield path, f"{name} is a table of numbers; write it under `metrics` of an evaluate task"


def check_weighted(path: tuple[str, ...], names: Iterable[str], weights: str | None) -> Iterator[Finding]:
    """Yields a problem for each metric that needs sample weights where there are none."""
    for name in names:
        if name.startswith(WEIGHTED) and not weights:
            text = f"{name} counts samples by `sample_weights`, and the task has none"
            yield path, f"{text}: add them, or write {name.removeprefix(WEIGHTED)}"
