"""Compares the values in data files, which the preflight has read, with the networks, losses and metrics of a job."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.references import references_of
from hpcmtl.training.kinds.value_checks import value_checks, value_warnings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from hpcmtl.data.values import ValueSummary
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.training.network_facts import NetworkFacts

_log = logging.getLogger(__name__)


def value_findings(
    prepared: Prepared,
    tasks: Collection[str],
    summaries: Mapping[tuple[Path, str], ValueSummary],
    networks: Mapping[str, NetworkFacts],
    begun: Collection[str] = (),
) -> Iterator[Finding]:
    """Yields values that the networks, losses and metrics of some tasks cannot use, and warns of those to look at.

    Args:
        prepared: the job.
        tasks: names of sound tasks.
        summaries: (file, dataset) -> summary of its values.
        networks: task -> facts about its network, as far as it could be built.
        begun: tasks that have begun in an earlier attempt, perhaps of an hpcmtl that checked less: they get warnings.
    """
    job, said = prepared.job, set()
    for name in tasks:
        kind = kind_of(job, name)
        if kind.framework(job, name) is None:
            continue
        known = {}
        for _, reference in references_of(job, name):
            origin, dataset = reference.split("/", 1)
            if origin in prepared.files:
                known[reference] = summaries[prepared.files[origin], dataset]
        made = networks[name].outputs if name in networks else ()
        outputs = {objective.name: shape for objective, shape in zip(kind.objectives(job, name), made, strict=False)}
        for path, text in value_checks(job, name, outputs, known):
            if text not in said:  # a task that runs the network of another one inherits its arrays
                said.add(text)
                if name in begun:
                    _log.warning("task %s has begun and goes on, but %s", name, text)
                else:
                    yield ("tasks", name, *path), text
        for text in value_warnings(job, name, known):
            if text not in said:
                said.add(text)
                _log.warning("task %s: %s", name, text)
