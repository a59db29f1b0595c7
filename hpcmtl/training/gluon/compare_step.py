"""The examination of the first step of a Gluon network; see `Learner.compare_step`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.training.gluon.attributes import NOT_KEPT, BlockAttributes
from hpcmtl.training.gluon.coupled_rows import rows_are_coupled
from hpcmtl.training.gluon.first_step import SLOPES_DIFFER, compilation_difference, update_difference
from hpcmtl.training.gluon.gradient_sums import gradient_facts
from hpcmtl.training.step_comparison import StepComparison

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.training.gluon.graph import GraphFacts
    from hpcmtl.training.gluon.losses import TrainingLoss
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.traits import LearnerTraits


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """Holds a network as it is trained.

    Attributes:
        block: the network.
        loss: the network as passes run it, and losses.
        trained: trained parameters by name.
        optimizer: optimizer of the job.
        graph: facts on its graph.
        traits: properties of the learner.
    """

    block: Any
    loss: TrainingLoss
    trained: Mapping[str, Any]
    optimizer: Optimizer
    graph: GraphFacts
    traits: LearnerTraits


def compare_step(network: TrainedNetwork, batch: StepInput, rate: float) -> StepComparison:
    """Compares gradients and update of a step on a few rows; the caller restores constants and statistics.

    Args:
        network: the network.
        batch: a batch, of which the first rows are used.
        rate: learning rate.
    """
    loss, trained, traits = network.loss, network.trained, network.traits
    attributes = BlockAttributes([network.block, *loss.own_losses])
    compiled = compilation_difference(loss, trained, batch, may_draw=traits.may_draw)
    if not compiled and any(each.name in network.graph.slopes for each in trained.values()):
        compiled = SLOPES_DIFFER  # which no row shows that is positive
    update, notes = update_difference(network.block, trained, network.optimizer, rate)
    normalised = traits.batch_statistics or loss.block is not network.block
    as_in_training = not (traits.may_draw or normalised)
    coupled = rows_are_coupled(loss, batch, train=as_in_training) if batch.ranks > 1 else None
    of_samples = batch.ranks > 1 and not (coupled or normalised)
    facts = gradient_facts(loss, trained, batch, of_samples=of_samples, may_draw=traits.may_draw)
    changed = attributes.restore()
    passes = [f"a pass changes {', '.join(changed)}: {NOT_KEPT}"] if changed else []
    return StepComparison(
        compiled=compiled,
        update=update,
        coupled=coupled,
        draws=traits.may_draw,
        sums=facts.sums,
        multiples=facts.multiples,
        attributes="; ".join([*passes, *notes]),
    )
