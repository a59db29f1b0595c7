"""The store serves `gluon.Trainer` as well as our collective: one key or many, with and without `out`."""

from __future__ import annotations

import numpy as np

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.training.gluon.collectives.kvstore import GroupKVStore
from hpcmtl.training.gluon.compat import import_mxnet

mx = import_mxnet()


def test_pushpull_in_all_forms():
    """Single and listed keys, copies of one array, and a separate `out` all hold the mean over the ranks."""

    def pushed(group):
        store = GroupKVStore(group)
        one, two, three = (mx.nd.full((2,), group.rank + shift) for shift in (0, 10, 20))
        copies = [mx.nd.zeros((2,)), mx.nd.zeros((2,))]
        store.pushpull("a", one)
        store.pushpull(["a", "b"], [two, [three]])
        store.pushpull("c", two, out=copies)
        return [array.asnumpy().tolist() for array in (one, two, three, *copies)]

    assert run_ranks(3, pushed) == [[[1, 1], [11, 11], [21, 21], [11, 11], [11, 11]]] * 3


def test_gluon_trainer_takes_it():
    """A `gluon.Trainer` on the store starts all ranks with the first one's weights and steps by the mean gradient."""

    def trained(group):
        parameter = mx.gluon.Parameter("w", shape=(2,), init=mx.init.Constant(10.0 * (group.rank + 1)))
        parameter.initialize()
        parameters = mx.gluon.ParameterDict()
        parameters.update({"w": parameter})
        trainer = mx.gluon.Trainer(parameters, "sgd", {"learning_rate": 1.0}, kvstore=GroupKVStore(group))
        with mx.autograd.record():
            loss = (parameter.data() * (group.rank + 1)).sum()
        loss.backward()
        trainer.step(1)
        store = trainer._kvstore
        return parameter.data().asnumpy().tolist(), store.rank, store.num_workers, store.type

    assert run_ranks(3, trained) == [([8.0, 8.0], rank, 3, "hpcmtl_group") for rank in range(3)]


def test_it_has_no_optimizer():
    """Updates are made by the ranks, not in the store."""
    assert not GroupKVStore.is_capable("optimizer")
    assert np.all([GroupKVStore.is_capable(other) for other in ("pushpull", "broadcast")])
