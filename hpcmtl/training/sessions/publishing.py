"""Publication of the parameters of a training task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.communicators.outcome import on_root
from hpcmtl.exchange.store import PARAMETERS, seal
from hpcmtl.training.artifacts.publish import publish_parameters
from hpcmtl.training.artifacts.record import parameter_facts
from hpcmtl.training.session import artifact_file
from hpcmtl.training.sessions.input_sources import input_sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.data.sources import Source
    from hpcmtl.training.checkpointing.content import Checkpoint
    from hpcmtl.training.session import SessionContext


def publish_trained(
    context: SessionContext, checkpoint: Checkpoint, sources: Sequence[Source], metrics: Mapping[str, float]
) -> None:
    """Seals and publishes the parameters of a task (collective).

    Args:
        context: context of the session.
        checkpoint: state after the last step.
        sources: arrays that the task reads, the inputs of the network among them.
        metrics: metrics of the task.
    """
    parameters = {name: array for name, array in checkpoint.state.items() if name.startswith(PARAMETERS)}
    file, inputs = artifact_file(context.directory, context.task), input_sources(sources)
    on_root(context.group, lambda: seal(file, parameters, parameter_facts(context, inputs, metrics)))
    publish_parameters(context, parameters)
