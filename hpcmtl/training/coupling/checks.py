"""Checks of tasks that exchange parameters while they train, by the shapes of the networks that were built."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from hpcmtl.jobfile.coupling import live_needs
from hpcmtl.jobfile.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.networks.shapes import Shape
    from hpcmtl.training.network_facts import NetworkFacts


def check_built_coupling(job: Job, facts: Mapping[str, NetworkFacts]) -> Iterator[Finding]:
    """Yields async edges without an effect, and merges whose members do not share the same parameters.

    Args:
        job: a sound job.
        facts: task -> shapes of its network, for the tasks whose networks were built.
    """
    for name in facts:
        if live_needs(job, name):
            yield from _edges_without_effect(job, name, facts)
    for key, merge in job.merge.items():
        members = {name: facts[name].parameters for name in merge.tasks if name in facts}
        shared = {name: _matching(own, merge.parameters) for name, own in members.items()}
        for name, found in shared.items():
            first, expected = next(iter(shared.items()))
            if not found:
                text = f"{merge.parameters!r} matches no parameter of {name}; it has {', '.join(members[name])}"
                yield ("merge", key, "parameters"), text
            elif expected and found != expected:
                odd = min(dict(found.items() ^ expected.items()))
                text = f"{first} has {odd} with shape {expected.get(odd)}, {name} with {found.get(odd)}"
                yield ("merge", key, "parameters"), f"{text}; members share names and shapes"
            elif odd_ties := _ties(facts[name], found) ^ _ties(facts[first], expected):
                text = f"{' and '.join(min(odd_ties))} are one parameter (tied weights) in one of {first} and {name}"
                yield ("merge", key, "parameters"), f"{text}, and several in the other: name one of them"


def _edges_without_effect(job: Job, name: str, facts: Mapping[str, NetworkFacts]) -> Iterator[Finding]:
    kind = kind_of(job, name)
    patterns = kind.framework_needs(job, name, {}).freeze
    frozen = facts[name].with_tied(each for pattern in patterns for each in _matching(facts[name].parameters, pattern))
    for mapping in kind.parameter_mappings(job, name):
        theirs = facts.get(mapping.producer) if mapping.producer in live_needs(job, name) else None
        if theirs is not None and frozen.isdisjoint({mapping.target(each) for each in theirs.parameters}):
            text = f"`freeze` matches nothing that is taken from {mapping.producer}: no version would be used"
            yield ("tasks", name, "freeze"), f"{text}; frozen are {', '.join(sorted(frozen))}"


def _ties(facts: NetworkFacts, names: Collection[str]) -> set[tuple[str, ...]]:
    """Returns those of some names that belong to one parameter, for each parameter with several."""
    among = (tuple(name for name in group if name in names) for group in facts.tied)
    return {group for group in among if len(group) > 1}


def _matching(shapes: Mapping[str, Shape], pattern: str) -> dict[str, Shape]:
    return {name: shape for name, shape in shapes.items() if fnmatch.fnmatchcase(name, pattern)}
