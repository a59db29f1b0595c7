"""Contract of `sync_batchnorm`: any group trains as a plain script of the framework trains one process.

13 rows in batches of 3: the last batch has one row, so that ranks get one row or none. Each check is called on all
ranks with a communicator and a case, which names networks of the framework's users.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import replica_suite as suite
from collective_suite import assert_same_bits
from learner_suite import objective_gradients

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.jobfile.tasks import Optimizer
from hpcmtl.training.strategies.select import StrategySettings, open_strategy

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.arrays import Arrays
    from hpcmtl.communicators.base import Communicator
    from hpcmtl.networks.models import UserModel

DECAYING = Optimizer(name="sgd", learning_rate=0.05, weight_decay=0.01, options={"momentum": 0.9})
ROWS, BATCH = 13, 3


@dataclass(frozen=True, kw_only=True)
class Case:
    """Networks of users of a framework, and a script that trains one of them.

    Attributes:
        setup: framework and collective.
        models: networks that `plain_steps` trains.
        twice: network with one batch normalisation under two names.
        dense: network with a batch normalisation behind a dense layer.
        plain_steps: trains a network, from given parameters, on whole batches with `DECAYING`, without hpcmtl; returns
            its parameters.
    """

    setup: suite.Setup
    models: tuple[UserModel, ...]
    twice: UserModel
    dense: UserModel
    plain_steps: Callable[[UserModel, Arrays, list[suite.StepInput]], Arrays]


def few_rows() -> list[suite.StepInput]:
    """Batches of an epoch of 13 rows, three times."""
    rng = np.random.default_rng(4)
    inputs = rng.normal(size=(ROWS, *suite.IMAGE)).astype(np.float32)
    labels = rng.integers(0, 3, ROWS)
    parts = [slice(start, min(start + BATCH, ROWS)) for start in range(0, ROWS, BATCH)] * 3
    return [
        suite.StepInput(
            {"input": inputs[part]}, (labels[part],), np.ones(len(labels[part]), np.float32), len(labels[part])
        )
        for part in parts
    ]


def take_steps(replica, group: Communicator) -> dict[str, np.ndarray]:
    """Takes a step on this rank's share of each batch; returns the state."""
    for number, batch in enumerate(few_rows()):
        replica.step(suite.dealt(batch, group.rank, group.size), 0.05, number)
    return replica.state()


def check_group_statistics(world: Communicator, case: Case) -> None:
    """13 rows in batches of 3 train any group as the plain script trains one process."""
    for model in case.models:
        with suite.opened(case.setup, world, model, DECAYING, sync_batchnorm=True) as replica:
            start = replica.state()
            mine = suite.dealt(few_rows()[0], world.rank, world.size)
            found = replica.compare_first_step("t", mine, 0.05, world)
            state = take_steps(replica, world)
            traits = replica.learner.traits
        expected = case.plain_steps(model, start, few_rows())

        assert (found.compiled, found.update, found.coupled or False) == ("", "", False)
        assert not traits.batch_statistics
        assert traits.whole_batch_statistics
        assert_same_bits(world, state)
        assert suite.largest_difference({n: a for n, a in state.items() if n in expected}, expected) <= 1e-5, model
        assert suite.largest_difference(state, start) > 0.01


def check_aliases_of_a_normalisation(world: Communicator, case: Case) -> None:
    """A batch normalisation with two names is one, also over the group."""
    with suite.opened(case.setup, world, case.twice, DECAYING, sync_batchnorm=True) as replica:
        start = replica.state()
        found = replica.compare_first_step("t", suite.dealt(suite.batches()[0], world.rank, world.size), 0.05, world)
        state = take_steps(replica, world)

    def alone(group: Communicator):
        setup = replace(case.setup, engine="local")
        with suite.opened(setup, group, case.twice, DECAYING, sync_batchnorm=True) as replica:
            replica.load_state(start)
            return take_steps(replica, group)

    assert found.update == ""
    assert_same_bits(world, state)
    assert suite.largest_difference(state, run_ranks(1, alone)[0]) <= 2e-4
    moved = [name for name in state if name.endswith("running_mean") and not np.array_equal(state[name], start[name])]
    assert moved


def check_inference_by_one_rank(world: Communicator, case: Case) -> None:
    """Inference sends no message, so that one rank may run it; gradients of objectives count no filler row."""
    few = replace(suite.batches()[0], inputs={"input": suite.batches()[0].inputs["input"][:1]}, global_samples=1)
    few = replace(few, targets=(suite.batches()[0].targets[0][:1],), weights=few.weights[:1])
    with suite.opened(case.setup, world, case.dense, DECAYING, sync_batchnorm=True) as replica:
        replica.step(suite.dealt(few, world.rank, world.size), 0.05, 0)
        if world.rank == 0:
            assert np.isfinite(replica.learner.outputs(suite.batches()[0].inputs)["main"]).all()
        mine = suite.dealt(suite.batches()[0], world.rank, world.size)
        (gradients,) = objective_gradients(replica.learner, mine, 1 / world.size)

    assert all(np.isfinite(array).all() for array in gradients.values())


def check_a_gradient_that_is_only_rounding(world: Communicator, case: Case) -> None:
    """The bias before a batch normalisation over the group has a gradient of 0 but for rounding: no fault is seen."""
    for optimizer in (DECAYING, suite.ADAM):
        for batch in (*few_rows()[3:5], *suite.batches()[2:6]):
            with suite.opened(case.setup, world, case.dense, optimizer, sync_batchnorm=True) as replica:
                mine = suite.dealt(batch, world.rank, world.size)
                found = replica.compare_first_step("t", mine, 0.05, world)
                assert (found.compiled, found.update) == ("", "")


def check_moves_between_groups(world: Communicator, case: Case) -> None:
    """A learner goes on with its state on a part of its group, and ends as one rank that took all steps."""
    model = case.models[0]
    with suite.opened(case.setup, world, model, DECAYING, sync_batchnorm=True) as replica:
        start = replica.state()
        state = take_steps(replica, world)
        replica.close()
        members = list(range((world.size + 1) // 2))
        if world.rank not in members:
            return
        group = world.create_group(members, tag=0)
        settings = StrategySettings("mpi!")
        replica.join(open_strategy(settings, replica.learner, case.setup.framework, group), replica.streams)
        replica.load_strategy_state(state)
        state = take_steps(replica, group)
    expected = case.plain_steps(model, start, [*few_rows(), *few_rows()])

    assert_same_bits(group, state)
    assert suite.largest_difference({n: a for n, a in state.items() if n in expected}, expected) <= 1e-5


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]
