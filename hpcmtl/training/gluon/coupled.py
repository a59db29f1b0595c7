"""Checks of tasks that exchange parameters while they train; they need the built networks."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from hpcmtl.errors import Problem
from hpcmtl.jobfile.coupling import live_needs
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.gluon.network import GluonNetwork

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hpcmtl.jobfile.arrays import ArraySpec
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.models import Shape


def coupling_problems(job: Job, arrays: Mapping[str, ArraySpec], tasks: Collection[str]) -> Iterator[Problem]:
    """Yields async edges without an effect, and merges whose members do not share the same parameters.

    Args:
        job: a job whose networks can all be built.
        arrays: arrays by reference; tasks whose input is not known yet are not checked.
        tasks: names of the tasks of this framework; a merge belongs to it with its first member.
    """
    for name in tasks:
        if live_needs(job, name):
            yield from _edges_without_effect(job, name, arrays)
    for key, merge in job.merge.items():
        if merge.tasks[0] not in tasks:
            continue
        members = {name: _shapes(job, name, arrays) for name in merge.tasks}
        shared = {n: _matching(shapes, merge.parameters) for n, shapes in members.items() if shapes is not None}
        for name, shapes in shared.items():
            first, expected = next(iter(shared.items()))
            if not shapes:
                text = f"{merge.parameters!r} matches no parameter of {name}; it has {', '.join(members[name] or ())}"
                yield Problem(f"merge.{key}.parameters", text)
            elif expected and shapes != expected:
                odd = min(dict(shapes.items() ^ expected.items()))
                text = f"{first} has {odd} with shape {expected.get(odd)}, {name} with {shapes.get(odd)}"
                yield Problem(f"merge.{key}.parameters", f"{text}; members share names and shapes")


def _edges_without_effect(job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> Iterator[Problem]:
    kind, own = kind_of(job, name), _shapes(job, name, arrays)
    patterns = kind.framework_needs(job, name, arrays).freeze
    frozen = {each for pattern in patterns for each in _matching(own or {}, pattern)}
    for mapping in kind.parameter_mappings(job, name):
        theirs = _shapes(job, mapping.producer, arrays) if mapping.producer in live_needs(job, name) else None
        if own is not None and theirs is not None and frozen.isdisjoint({mapping.target(each) for each in theirs}):
            text = f"`freeze` matches nothing that is taken from {mapping.producer}: no version would be used"
            yield Problem(f"tasks.{name}.freeze", f"{text}; frozen are {', '.join(sorted(frozen))}")


def _matching(shapes: Mapping[str, Shape], pattern: str) -> dict[str, Shape]:
    return {name: shape for name, shape in shapes.items() if fnmatch.fnmatchcase(name, pattern)}


def _shapes(job: Job, name: str, arrays: Mapping[str, ArraySpec]) -> dict[str, Shape] | None:
    """Returns the shapes of a task's parameters by name; None if the shape of its input is not known yet."""
    needs = kind_of(job, name).framework_needs(job, name, arrays)
    if needs.network is None or needs.sample is None:
        return None
    network = GluonNetwork(needs.network, needs.sample, (), seed=0)
    return {own: tuple(parameter.shape) for own, parameter in network.parameters.items()}
