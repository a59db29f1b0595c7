"""The examination of the first step of a Gluon network; see `Learner.compare_step`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.training.gluon.attributes import NOT_KEPT, BlockAttributes
from hpcmtl.training.gluon.coupled_rows import rows_are_coupled
from hpcmtl.training.gluon.first_step import SLOPES_DIFFER, compilation_difference, update_difference
from hpcmtl.training.gluon.gradient_sums import gradient_facts
from hpcmtl.training.parameter_groups import unkept_by_updates
from hpcmtl.training.step_comparison import StepComparison

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.jobfile.tasks import Optimizer
    from hpcmtl.training.gluon.graph import GraphFacts
    from hpcmtl.training.gluon.losses import TrainingLoss
    from hpcmtl.training.step_input import StepInput
    from hpcmtl.training.traits import LearnerTraits


def compare_step(
    loss: TrainingLoss,
    trained: Mapping[str, Any],
    optimizer: Optimizer,
    batch: StepInput,
    *,
    rate: float,
    traits: LearnerTraits,
    block: Any,
    graph: GraphFacts,
) -> StepComparison:
    """Compares gradients and update of a step on a few rows; the caller restores constants and statistics.

    Args:
        loss: network as it is trained, and losses.
        trained: trained parameters by name.
        optimizer: optimizer of the job.
        batch: a batch, of which the first rows are used.
        rate: learning rate.
        traits: properties of the learner.
        block: the network.
        graph: facts on its graph.
    """
    attributes, grouped = BlockAttributes([block, *loss.own_losses]), loss.block is not block
    compiled = compilation_difference(loss, trained, batch, may_draw=traits.may_draw)
    if not compiled and any(each.name in graph.slopes for each in trained.values()):  # positive rows do not show it
        compiled = SLOPES_DIFFER
    update, remembered = update_difference(block, trained, optimizer, rate)
    normalised = traits.batch_statistics or grouped
    as_in_training = not (traits.may_draw or normalised)
    coupled = rows_are_coupled(loss, batch, train=as_in_training) if batch.ranks > 1 else None
    of_samples = batch.ranks > 1 and not (coupled or normalised)
    facts = gradient_facts(loss, trained, batch, of_samples=of_samples, may_draw=traits.may_draw)
    changed = attributes.restore()
    return StepComparison(
        compiled=compiled,
        update=update,
        coupled=coupled,
        draws=traits.may_draw,
        sums=facts.sums,
        multiples=facts.multiples,
        attributes="; ".join(_told(changed, remembered)),
    )


def _told(changed: Sequence[str], remembered: Sequence[str]) -> list[str]:
    """Returns notes on what passes and updates change and no checkpoint has."""
    told = [f"a pass changes {', '.join(changed)}: {NOT_KEPT}"] if changed else []
    return told + ([unkept_by_updates(remembered, "as an attribute of the optimizer")] if remembered else [])
