"""The first parameters of a training task that come from other tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.jobfile.kinds import kind_of

if TYPE_CHECKING:
    from hpcmtl.training.artifacts.inputs import Inputs
    from hpcmtl.training.coupling.coupling import Coupling
    from hpcmtl.training.learner import Learner
    from hpcmtl.training.session import SessionContext


def load_first_parameters(
    context: SessionContext, inputs: Inputs, coupling: Coupling | None, learner: Learner
) -> frozenset[str] | None:
    """Loads the parameters of a task that other tasks give it (collective).

    Returns:
        The names of those that were loaded, and of buffers; None if a task that runs beside has paused before its first
        version.
    """
    taken: set[str] = set()
    for mapping in kind_of(context.job, context.task).parameter_mappings(context.job, context.task):
        if coupling is not None and coupling.is_beside(mapping.producer):
            parameters = coupling.first_parameters(mapping.producer)
            if parameters is None:
                return None
        else:
            parameters = inputs.parameters(mapping.producer)
        learner.load_mapped(parameters, mapping)
        targets = (mapping.target(name.removeprefix(PARAMETERS)) for name in parameters)
        taken |= {target for target in targets if target is not None}
    return frozenset(taken)
