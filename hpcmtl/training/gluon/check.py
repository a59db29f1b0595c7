"""Tries all that a task asks of Gluon once: losses, optimizer, network, part, frozen parameters, and one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.errors import InputError, Problem
from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.description import GLUON
from hpcmtl.training.gluon.group_batchnorm import synchronise
from hpcmtl.training.gluon.learner import GluonLearner
from hpcmtl.training.gluon.losses import make_loss
from hpcmtl.training.gluon.network import GluonNetwork
from hpcmtl.training.gluon.optimizer import Updater, make_optimizer
from hpcmtl.training.gluon.parameters import freeze, unused_parameters
from hpcmtl.training.gluon.parts import up_to
from hpcmtl.training.gluon.samples import trial_samples
from hpcmtl.training.gluon.zoo import outputs_of
from hpcmtl.training.learner_settings import settings_of
from hpcmtl.training.network_facts import NetworkFacts
from hpcmtl.training.parameter_groups import GroupedUpdater, with_frozen_groups
from hpcmtl.training.parameter_names import distinct, frozen_names, nothing_to_train, ties
from hpcmtl.training.step_input import StepInput
from hpcmtl.training.trial_rows import trial_rows
from hpcmtl.training.trials import (
    ROWS,
    Trials,
    noting,
    require_own_values,
    said_of,
    shape_of_sample,
    shapes_of_loss,
    tried,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.jobfile.kinds import FrameworkNeeds
    from hpcmtl.networks.shapes import InputShapes, Shape

mx = import_mxnet()


def check(needs: FrameworkNeeds) -> NetworkFacts | None:
    """See `Framework.check`."""
    trials = Trials(
        GLUON.name,
        loss=make_loss,
        optimizer=make_optimizer,
        network=_network_facts,
        step=_step,
        settings=_unsupported,
    )
    return tried(needs, trials)


def _unsupported(needs: FrameworkNeeds) -> Iterator[Problem]:
    """Yields settings that MXNet cannot follow."""
    if needs.precision != "fp32":
        text = f"MXNet 1.9.1 has no operators for {needs.precision} on a CPU that are worth it"
        yield Problem("precision", f"{text}; write fp32, or `framework: torch`")


def _network_facts(needs: FrameworkNeeds, samples: InputShapes, problems: list[Problem]) -> NetworkFacts:
    """Builds the network and runs it; appends patterns that match nothing to the problems."""
    assert needs.network is not None
    network = GluonNetwork(needs.network, samples, [each.name for each in needs.objectives], seed=0)
    for pattern in dict.fromkeys((*needs.freeze, *needs.frozen_for_now)):
        with noting(problems, "freeze"):
            frozen_names(network.parameters, [pattern])
            freeze(network.parameters, [pattern] if pattern in needs.freeze else [])
    trained = {name: each for name, each in distinct(network.parameters).items() if each.grad_req != "null"}
    if needs.optimizer and not trained:
        problems.append(nothing_to_train(needs.freeze))
    block = network.block if needs.part is None else up_to(network.block, needs.part, network.values)
    with said_of("the network runs, but not when it is hybridised (`F` is symbols then, without shapes)", "model"):
        outputs = outputs_of(block, trial_samples(ROWS, samples, network.values))
    if needs.sync_batchnorm:
        with noting(problems, "sync_batchnorm"), said_of("the network cannot be traced as in training", "model"):
            synchronise(network.block, len(network.values))
    if needs.optimizer and not problems:
        with said_of("an update of the parameters fails", f"optimizer {needs.optimizer.name}"):
            optimizer = with_frozen_groups(settings_of(needs), network.parameters, trained).optimizer
            updater = GroupedUpdater(trained, optimizer, Updater, ties(network.parameters))
            updater.update(needs.optimizer.learning_rate, 1.0)
            mx.nd.waitall()
        with noting(problems, "optimizer"):
            updater.state()
    named = network.parameters
    unused = (
        unused_parameters(network.block, named, len(network.values)) if needs.optimizer and needs.part is None else []
    )
    return NetworkFacts(
        outputs=tuple(shape_of_sample(tuple(output.shape)) for output in outputs),
        parameters={name: tuple(parameter.shape) for name, parameter in named.items()},
        tied=tuple(ties(named)),
        unused=tuple(name for name in unused if named[name].grad_req != "null"),
    )


def _step(needs: FrameworkNeeds) -> None:
    """Makes one step on samples of ones and targets of zeros, where all shapes are known."""
    shapes = [target.shape for target in needs.targets]
    if needs.network is None or needs.samples is None or needs.optimizer is None or None in shapes:
        return
    settings = settings_of(needs, consistency=needs.consistency)
    learner = GluonLearner(needs.network, needs.samples, needs.objectives, settings)
    targets = tuple(np.zeros((ROWS, *shape), np.float32) for shape in shapes if shape is not None)
    batch = StepInput(trial_rows(ROWS, needs.samples, learner.values), targets, np.ones(ROWS, np.float32), ROWS)
    for place, (objective, target) in enumerate(zip(needs.objectives, targets, strict=True)):
        if ":" in objective.loss:
            _require_values_of_samples(objective.loss, learner, place, needs.samples, target.shape[1:])
    weights = [each.weight for each in needs.losses]
    with said_of("a forward and backward pass on ones fails", "model"):
        learner.forward_backward(batch, weights, 1.0)
        mx.nd.waitall()
    with said_of("a loss gives one value for each sample of a batch; this fails", "loss"):
        losses = learner.collect_losses()
    if losses.shape != (1, len(weights)):
        raise InputError([Problem("loss", f"a step gives losses of shape {losses.shape}, not one an objective")])


def _require_values_of_samples(
    name: str, learner: GluonLearner, place: int, samples: InputShapes, target: Shape
) -> None:
    """Refuses a user's loss that fails, or whose values have an axis that grows with the batch."""
    loss = make_loss(name)

    def shapes(rows: int) -> tuple[Shape, Shape]:
        output = outputs_of(learner.block, trial_samples(rows, samples, learner.values))[place]
        with mx.autograd.record():
            return shapes_of_loss(name, loss, output, mx.nd.zeros((rows, *target)))

    require_own_values(name, shapes, (ROWS, *target), "F.reshape_like(target, output)")
