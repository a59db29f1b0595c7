"""Checks of PyTorch's learners on groups: batch normalisation, mixed precision, users' networks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import replica_suite as suite
import torch
from collective_suite import assert_same_bits
from normalised_suite import DECAYING, Case, few_rows
from torch import nn

from hpcmtl.exchange.store import PARAMETERS
from hpcmtl.networks.models import UserModel
from hpcmtl.training.frameworks import open_framework
from hpcmtl.training.strategies.allreduce import LOSS_SCALE
from hpcmtl.training.strategies.select import StrategySettings, open_strategy

if TYPE_CHECKING:
    from hpcmtl.communicators.base import Communicator

NORMALISED = UserModel(name="own_modules:normalised")


def setup() -> suite.Setup:
    """PyTorch with the collective over numpy views."""
    return suite.Setup(open_framework("torch"), "mpi")


def plain_steps(model, start, given):
    """The parameters of a plain PyTorch script after its own steps on whole batches, from the same parameters."""
    import own_modules

    module = getattr(own_modules, model.name.partition(":")[2])()
    module.load_state_dict({n.removeprefix(PARAMETERS): torch.tensor(a) for n, a in start.items() if PARAMETERS in n})
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, weight_decay=0.01, momentum=0.9)
    for batch in given:
        optimizer.zero_grad()
        losses = nn.functional.cross_entropy(
            module(torch.tensor(batch.inputs["input"])), torch.tensor(batch.targets[0]), reduction="none"
        )
        (losses @ torch.tensor(batch.weights) / batch.global_samples).backward()
        optimizer.step()
    return {PARAMETERS + name: each.detach().numpy() for name, each in module.state_dict().items()}


def normalised_case() -> Case:
    """Batch normalisation over a group with PyTorch."""
    twice, dense = (UserModel(name=f"own_modules:{name}") for name in ("TwiceNormalised", "dense_normalised"))
    return Case(setup=setup(), models=(NORMALISED,), twice=twice, dense=dense, plain_steps=plain_steps)


def check_untracked_statistics(world: Communicator) -> None:
    """A batch normalisation without running statistics trains over the group, and infers on one rank."""
    with suite.opened(
        setup(), world, UserModel(name="own_modules:Untracked"), DECAYING, sync_batchnorm=True
    ) as replica:
        suite.train(replica, world)
        if world.rank == 0:
            assert np.isfinite(replica.learner.outputs(suite.batches()[0].inputs)["main"]).all()


def check_statistics_of_the_batch(world: Communicator) -> None:
    """Without it the running statistics after a step are those of the whole batch; filler rows count for nothing."""
    for batch in (suite.batches()[0], suite.batches()[4], few_rows()[4]):
        with suite.opened(setup(), world, NORMALISED, DECAYING) as replica:
            start = replica.state()
            replica.step(suite.dealt(batch, world.rank, world.size), 0.05, 0)
            state = replica.state()
        expected = plain_steps(NORMALISED, start, [batch])

        assert_same_bits(world, state)
        for name in ("1.running_mean", "1.running_var"):
            np.testing.assert_allclose(state[PARAMETERS + name], expected[PARAMETERS + name], rtol=1e-5, atol=1e-6)
        assert not np.array_equal(state[PARAMETERS + "1.running_mean"], start[PARAMETERS + "1.running_mean"])


def check_one_row_a_rank(world: Communicator) -> None:
    """A rank with one row, or none, normalises it to 0 where PyTorch would raise; running statistics count it once."""
    model, batch = UserModel(name="own_modules:dense_normalised"), suite.batches()[0]
    few = replace(
        batch, inputs={"input": batch.inputs["input"][:3]}, targets=(batch.targets[0][:3],), weights=batch.weights[:3]
    )
    few = replace(few, global_samples=3)
    with suite.opened(setup(), world, model, DECAYING) as replica:
        start = replica.state()
        mine = suite.dealt(few, world.rank, world.size)
        found = replica.compare_first_step("t", mine, 0.05, world)
        replica.step(mine, 0.05, 0)
        losses, state = replica.collect_losses(), replica.state()
    inputs = few.inputs["input"].reshape(3, -1) @ start[PARAMETERS + "1.weight"].T + start[PARAMETERS + "1.bias"]

    assert found.update == ""
    assert losses.shape == (1, 1)
    assert_same_bits(world, state)
    np.testing.assert_allclose(state[PARAMETERS + "2.running_mean"], 0.1 * inputs.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        state[PARAMETERS + "2.running_var"], 0.9 + 0.1 * inputs.var(axis=0, ddof=1), rtol=1e-4, atol=1e-6
    )


def check_frozen_statistics(world: Communicator) -> None:
    """Frozen batch normalisation stays as it is, bit for bit; the rest is trained."""
    with suite.opened(setup(), world, NORMALISED, DECAYING, freeze=("1.*",)) as replica:
        start = replica.state()
        state = suite.train(replica, world)

    frozen = [key for key in start if key.startswith(PARAMETERS + "1.")]
    assert len(frozen) == 5
    assert all(np.array_equal(state[key], start[key]) for key in frozen)
    assert not np.array_equal(state[PARAMETERS + "4.weight"], start[PARAMETERS + "4.weight"])


def check_users_networks(world: Communicator) -> None:
    """Tied, lazy, unused and sparse parameters take the steps of one rank, and the first is that of plain PyTorch."""
    names = ("Tied", "Lazy", "Unused", "Sparse")
    models = tuple(UserModel(name=f"own_modules:{name}") for name in names)
    suite.check_steps_equal_one_rank(world, replace(setup(), models=models, optimizers=((DECAYING, 0.05),)))
    for model in models:
        with suite.opened(setup(), world, model, DECAYING) as replica:
            mine = suite.dealt(suite.batches()[0], world.rank, world.size)
            assert replica.compare_first_step("t", mine, 0.05, world).update == ""


def check_bfloat16(world: Communicator) -> None:
    """In bf16 a group is near one rank in bf16 and near float32, and its parameters are float32."""
    states = {}
    for precision in ("fp32", "bf16"):
        with suite.opened(setup(), world, precision=precision) as replica:
            start = replica.state()
            states[precision] = suite.train(replica, world)
    one = suite.alone(setup(), start, precision="bf16")

    assert_same_bits(world, states["bf16"])
    assert all(array.dtype == np.float32 for name, array in states["bf16"].items() if name.startswith(PARAMETERS))
    assert suite.largest_difference(states["bf16"], one) <= 5e-3
    assert 0 < suite.largest_difference(states["bf16"], states["fp32"]) <= 2e-2


def check_halves_skip_everywhere(world: Communicator) -> None:
    """In fp16 a gradient that overflows on the last rank alone is skipped by all, which halve the loss scale."""

    def opened_scaled(settings, learner, framework, group):
        return open_strategy(StrategySettings(settings.engine, scales_loss=True), learner, framework, group)

    with suite.opened(replace(setup(), open_strategy=opened_scaled), world, precision="fp16") as replica:
        first, *others = (suite.dealt(batch, world.rank, world.size) for batch in suite.batches())
        replica.step(first, 0.05, 0)
        before = replica.state()
        weights = np.where(world.rank == world.size - 1, 1e9, 1.0) * first.weights
        replica.step(replace(first, weights=weights.astype(np.float32)), 0.05, 1)
        skipped, after = replica.skipped_steps, replica.state()
        for number, batch in enumerate(others):
            replica.step(batch, 0.05, 2 + number)
        end = replica.state()

    assert skipped == 1
    assert after[LOSS_SCALE].tolist() == [before[LOSS_SCALE][0] / 2, 0]
    assert all(np.array_equal(after[key], before[key]) for key in before if key != LOSS_SCALE)
    assert_same_bits(world, end)
    assert suite.largest_difference(end, after) > 0.01


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]
