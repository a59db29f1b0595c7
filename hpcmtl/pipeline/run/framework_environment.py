"""Sets the environment variables that the networks of a job need on all ranks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hpcmtl.communicators.outcome import on_root
from hpcmtl.frameworks.environment import EnvironmentNeeds
from hpcmtl.jobfile.frameworks import tasks_by_framework
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.training.frameworks import open_framework

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.pipeline.prepare import Prepared


def prepare_environment(prepared: Prepared) -> EnvironmentNeeds:
    """Sets the variables in this process, before a framework computes anything; returns them for the other ranks.

    Raises:
        EnvironmentUnfitError: a framework is missing, or it is too late in this process.
    """
    variables: dict[str, str] = {}
    reasons: list[str] = []
    for framework, tasks in tasks_by_framework(prepared.job).items():
        needs = {
            name: kind_of(prepared.job, name).framework_needs(prepared.job, name, prepared.arrays) for name in tasks
        }
        found = open_framework(framework).prepare_environment(needs)
        variables.update(found.variables)
        reasons += [found.reason] if found.reason else []
    return EnvironmentNeeds(variables=variables, reason="; ".join(reasons))


def prepare_environments(world: Communicator, prepared: Prepared) -> str:
    """Sets the variables on all ranks (collective); returns a text for the user, empty if nothing was set.

    Raises:
        EnvironmentUnfitError: it is too late on rank 0; on all ranks.
    """
    needs = on_root(world, lambda: prepare_environment(prepared))
    os.environ.update(needs.variables)
    return needs.reason
