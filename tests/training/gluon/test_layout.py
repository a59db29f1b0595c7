"""An inference forward takes convolution weights out of the default layout; one in-place form brings them back."""

from __future__ import annotations

import numpy as np
import psutil
import pytest
from layouts import has_default_layout

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.layout import restore_default_layout, view

mx = import_mxnet()

# What looks as if it wrote the array anew, and keeps the foreign layout; if one of them works some day, restoring may
# become simpler.
KEEPING = {
    "set_data": lambda parameter: parameter.set_data(mx.nd.array(parameter.data().asnumpy())),
    "assignment": lambda parameter: parameter.data().__setitem__(slice(None), parameter.data().copy()),
    "adding zero": lambda parameter: parameter.data().__iadd__(0),
    "multiplying by one": lambda parameter: mx.nd.broadcast_mul(
        parameter.data(), mx.nd.ones((1, 1, 1, 1)), out=parameter.data()
    ),
}


def evaluated_net(channels=32):
    """A convolutional net after an inference forward, and its weights."""
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(channels, 3, padding=1, in_channels=1))
    net.add(mx.gluon.nn.Conv2D(channels, 3, padding=1, in_channels=channels))
    net.initialize(mx.init.Xavier())
    net.hybridize()
    evaluate(net)
    return net, [parameter.data() for parameter in net.collect_params().values()]


def evaluate(net):
    """Run it as an evaluation does."""
    net(mx.nd.ones((4, 1, 12, 12))).wait_to_read()
    mx.nd.waitall()


def test_the_cure_works_and_changes_no_value():
    """Before, some weights have a foreign layout; after, none has, and the values are the same."""
    net, weights = evaluated_net()
    values = [weight.asnumpy() for weight in weights]
    before = [has_default_layout(weight) for weight in weights]
    restore_default_layout(weights)

    assert not all(before)
    assert all(has_default_layout(weight) for weight in weights)
    assert all(np.array_equal(weight.asnumpy(), value) for weight, value in zip(weights, values, strict=True))
    assert np.isfinite(net(mx.nd.ones((1, 1, 12, 12))).asnumpy()).all()


@pytest.mark.parametrize("form", KEEPING.values(), ids=KEEPING)
def test_other_forms_keep_the_foreign_layout(form):
    """Writing over the weights in the obvious ways does not help: that is why there is a cure."""
    net, weights = evaluated_net()
    parameters = list(net.collect_params().values())
    foreign = [index for index, weight in enumerate(weights) if not has_default_layout(weight)]
    for index in foreign:
        form(parameters[index])
    mx.nd.waitall()

    assert foreign
    assert not any(has_default_layout(parameters[index].data()) for index in foreign)


def test_other_errors_are_not_taken_for_a_layout():
    """A file that cannot be read for another reason says so, instead of being restored without end."""

    class Broken:
        def to_dlpack_for_read(self):
            raise mx.MXNetError("no such device")

    with pytest.raises(mx.MXNetError, match="no such device"):
        has_default_layout(Broken())


@pytest.mark.slow
def test_again_and_again_without_growth():
    """200 evaluations with a cure after each: the layout comes back every time, and memory stays as it is."""
    net, weights = evaluated_net(channels=256)  # 2.4 MB of weights, so that 200 copies would be seen
    foreign, memory = [], []
    for _ in range(200):
        evaluate(net)
        foreign.append(not all(has_default_layout(weight) for weight in weights))
        restore_default_layout(weights)
        memory.append(psutil.Process().memory_info().rss)

    assert all(foreign)
    assert all(has_default_layout(weight) for weight in weights)
    assert memory[-1] - memory[20] < 40e6


def test_a_view_shares_memory_and_restores_the_layout():
    """A view of an array in a foreign layout has its values, and what is written to it the network computes with."""
    net, weights = evaluated_net()
    values = [weight.asnumpy() for weight in weights]
    foreign = [not has_default_layout(weight) for weight in weights]
    mx.nd.waitall()
    views = [view(weight) for weight in weights]
    same = [np.array_equal(one, other) for one, other in zip(views, values, strict=True)]
    for each in views:
        each[...] = 0
    made = net(mx.nd.ones((1, 1, 12, 12))).asnumpy()

    assert any(foreign)
    assert all(same)
    assert not made.any()


@pytest.mark.parametrize("dtype", ["float16", "float32", "int64"])
def test_a_view_has_the_type_of_its_array(dtype):
    """Shape and dtype are those of the array, also where there is one number alone."""
    for shape in [(1,), (2, 3)]:
        array = mx.nd.full(shape, 7, dtype=dtype)
        array.wait_to_read()
        made = view(array)

        assert (made.shape, str(made.dtype), made.ravel()[0]) == (shape, dtype, 7)
