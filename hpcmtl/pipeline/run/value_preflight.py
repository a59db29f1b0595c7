"""Compares the values in data files, which the preflight has read, with the networks, losses and metrics of a job."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.references import references_of
from hpcmtl.jobfile.views import is_input
from hpcmtl.training.kinds.value_checks import value_checks, value_warnings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from hpcmtl.data.value_summary import ValueSummary
    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.training.network_checks import NetworkChecks

_log = logging.getLogger(__name__)


def value_findings(
    prepared: Prepared,
    tasks: Collection[str],
    summaries: Mapping[tuple[Path, str], ValueSummary],
    networks: NetworkChecks,
    begun: Collection[str] = (),
) -> Iterator[Finding]:
    """Yields values that the networks, losses and metrics of some tasks cannot use, and warns of those to look at.

    Args:
        prepared: the job.
        tasks: names of the tasks.
        summaries: (file, dataset) -> summary of its values, for those without problems.
        networks: facts about the networks, and the tasks of which only the input is looked at.
        begun: tasks that have begun in an earlier attempt, perhaps of an hpcmtl that checked less: they get warnings.
    """
    job, said, partly = prepared.job, set(), networks.partly
    for name in tasks:
        kind = kind_of(job, name)
        if kind.framework(job, name) is None:
            continue
        known = {}
        for _, reference in references_of(job, name):
            origin, dataset = reference.split("/", 1)
            if (summary := summaries.get((prepared.files.get(origin, Path()), dataset))) is not None:
                known[reference] = summary
        made = networks.facts[name].outputs if name in networks.facts else ()
        outputs = {objective.name: shape for objective, shape in zip(kind.objectives(job, name), made, strict=False)}
        for path, text in value_checks(job, name, outputs, known):
            # A task that runs the network of another one inherits its arrays.
            if text not in said and (is_input(path) or name not in partly):
                said.add(text)
                if name in begun:
                    _log.warning("task %s has begun and goes on, but %s", name, text)
                else:
                    yield ("tasks", name, *path), text
        for text in value_warnings(job, name, known):
            if text not in said:
                said.add(text)
                _log.warning("task %s: %s", name, text)
