"""Compares the data of tasks that go on from earlier runs with those of these runs, before the job runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.data.sources import Source, selected
from hpcmtl.errors import InputError
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.increment import earlier_training, members_of, require_network

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.training.network_checks import NetworkChecks


def increment_findings(prepared: Prepared, tasks: Collection[str], networks: NetworkChecks) -> Iterator[Finding]:
    """Yields earlier runs that a task cannot go on from, and data without a new row.

    Args:
        prepared: the job.
        tasks: names of the tasks.
        networks: facts about the networks.
    """
    job = prepared.job
    for name in tasks:
        kind = kind_of(job, name)
        path = kind.earlier_run(job, name)
        if path is None or name in prepared.partly:
            continue
        try:
            earlier = earlier_training(job, name, path, prepared.files)
            origin, dataset = next(iter(kind.network_inputs(job, name).values())).split("/", 1)
            train = selected([Source("", prepared.files[origin], dataset)], ["train"])
            members_of(earlier, train, "", replays=False)
            if name in networks.facts:
                require_network(earlier, networks.facts[name].parameters)
        except InputError as error:
            yield from ((("tasks", name, "increment"), each.message) for each in error.problems)
