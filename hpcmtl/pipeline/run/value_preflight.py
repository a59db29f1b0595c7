"""Compares the values in data files, which the preflight has read, with the networks, losses and metrics of a job."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hpcmtl.errors import Problem
from hpcmtl.jobfile.frameworks import framework_of
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.references import references_of
from hpcmtl.training.artifacts.fit import output_shapes
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.kinds.value_checks import value_checks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from hpcmtl.data.values import ValueSummary
    from hpcmtl.networks.models import Shape
    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.training.artifacts.fit import Outputs


def value_problems(
    prepared: Prepared, tasks: Collection[str], summaries: Mapping[tuple[Path, str], ValueSummary]
) -> Iterator[Problem]:
    """Yields values that the networks, losses and metrics of some tasks cannot use.

    Args:
        prepared: a job whose networks can be built.
        tasks: names of the tasks.
        summaries: (file, dataset) -> summary of its values.
    """
    said = set()
    for name in tasks:
        if framework_of(prepared.job, name) is None:
            continue
        known = {}
        for _, reference in references_of(prepared.job, name):
            origin, dataset = reference.split("/", 1)
            if origin in prepared.files:
                known[reference] = summaries[prepared.files[origin], dataset]
        for path, text in value_checks(prepared.job, name, _outputs(prepared, name), known):
            if text not in said:  # a task that runs the network of another one inherits its arrays
                said.add(text)
                yield Problem(".".join(("tasks", name, *path)), text)


def _outputs(prepared: Prepared, name: str) -> Mapping[str, Shape | None]:
    """Returns the shapes of the outputs of a task's network; none where its input is not known yet."""
    known = prepared.arrays.get(kind_of(prepared.job, name).network_input(prepared.job, name))
    if known is None or known.shape is None:
        return {}
    return output_shapes(prepared.job, name, known.shape, partial(_built, prepared, name, known.shape))


def _built(prepared: Prepared, name: str, sample: Shape) -> Outputs:
    kind, job = kind_of(prepared.job, name), prepared.job
    framework = open_framework(str(framework_of(job, name)))
    names = tuple(objective.name for objective in kind.objectives(job, name))
    return framework.network(kind.network(job, name), sample, names).outputs
