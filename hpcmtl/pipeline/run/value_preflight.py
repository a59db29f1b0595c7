"""Compares the values in data files, which the preflight has read, with the networks, losses and metrics of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.references import references_of
from hpcmtl.training.kinds.value_checks import value_checks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from hpcmtl.data.values import ValueSummary
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.training.network_facts import NetworkFacts


def value_findings(
    prepared: Prepared,
    tasks: Collection[str],
    summaries: Mapping[tuple[Path, str], ValueSummary],
    networks: Mapping[str, NetworkFacts],
) -> Iterator[Finding]:
    """Yields values that the networks, losses and metrics of some tasks cannot use.

    Args:
        prepared: the job.
        tasks: names of sound tasks.
        summaries: (file, dataset) -> summary of its values.
        networks: task -> facts about its network, as far as it could be built.
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
                yield ("tasks", name, *path), text
