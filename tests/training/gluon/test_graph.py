"""The graph of a network tells whether it draws random numbers, and which statistics its normalisations update."""

from __future__ import annotations

import random

import numpy as np
import own_blocks
import pytest
from own_blocks import mx

from hpcmtl.training.gluon.graph import BatchNormNode, graph_facts, loss_draws
from hpcmtl.training.gluon.losses import make_loss

nn, rnn = mx.gluon.nn, mx.gluon.rnn


class By(mx.gluon.HybridBlock):
    """A block of one function of the namespace and its input."""

    def __init__(self, function):
        super().__init__()
        self._function = function

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """The function's value."""
        return self._function(F, x)


class Unhybrid(mx.gluon.HybridBlock):
    """A block that looks at values, as no symbol has any."""

    def hybrid_forward(self, F, x):  # noqa: N803 - Gluon's form
        """The input, if it has values."""
        return x if x.asnumpy().size else None


def loop(F, x):  # noqa: N803 - Gluon's form
    """Dropout in the body of a loop, which is a graph of its own."""
    return F.contrib.foreach(lambda row, state: (F.Dropout(row), state), x, [F.zeros((1,))])[0]


DRAWING = {
    "dropout": nn.Dropout(0.5),
    "uniform": By(lambda f, x: x + f.random.uniform_like(x)),
    "normal": By(lambda f, x: f.broadcast_add(x, f.random.normal(shape=(1,)))),
    "multinomial": By(lambda f, x: f.sample_multinomial(x)),
    "shuffle": By(lambda f, x: f.shuffle(x)),
    "recurrent dropout": rnn.LSTM(4, num_layers=2, dropout=0.2, input_size=3),
    "random slope": By(lambda f, x: f.LeakyReLU(x, act_type="rrelu")),
    "loop": By(loop),
    "python": By(lambda _, x: x * random.random()),
    "numpy": By(lambda _, x: x * np.random.rand()),  # noqa: NPY002 - as users do
    "in training alone": By(lambda f, x: f.Dropout(x) if mx.autograd.is_training() else x),
    "untraceable": Unhybrid(),
}
FIXED = {
    "dense": nn.Dense(3, in_units=2),
    "recurrent": rnn.LSTM(4, input_size=3),
    "normalised": own_blocks.normalised(),
    "upsampling": By(lambda f, x: f.UpSampling(x, scale=2, sample_type="nearest")),
    "sampler": By(lambda f, x: f.BilinearSampler(x, x)),
    "norms": By(lambda f, x: f.gamma(f.L2Normalization(f.LeakyReLU(x, act_type="leaky")))),
}


@pytest.mark.parametrize("name", DRAWING)
def test_random_numbers_are_seen(name):
    """Whatever draws in training is seen; a block that cannot be traced may draw."""
    assert graph_facts(DRAWING[name], 1).draws


@pytest.mark.parametrize("name", FIXED)
def test_nothing_else_is_taken_for_it(name):
    """Other operators draw nothing, whatever their names are like."""
    assert not graph_facts(FIXED[name], 1).draws


def test_normalisations_are_listed_with_their_momentum():
    """Each has the names of its statistics; those of one with global statistics are fixed."""
    block = nn.HybridSequential()
    block.add(nn.BatchNorm(prefix="a_"), nn.BatchNorm(prefix="b_", momentum=0.99))
    block.add(nn.BatchNorm(prefix="c_", use_global_stats=True))

    assert graph_facts(block, 1).normalisations == (
        BatchNormNode("a_running_mean", "a_running_var", 0.9),
        BatchNormNode("b_running_mean", "b_running_var", 0.99),
    )
    assert graph_facts(block, 1).fixed == {"c_running_mean", "c_running_var"}


def test_losses_that_draw_are_seen():
    """A loss of the user's draws if its graph does, and those of the job file do not."""
    losses = {name: make_loss(name) for name in ("own_blocks:Cubic", "own_blocks:Noisy", "softmax_ce", "huber")}

    assert [name for name, loss in losses.items() if loss_draws(loss)] == ["own_blocks:Noisy"]
    assert not loss_draws(lambda outputs, targets: (outputs, targets))  # other checks refuse several values
