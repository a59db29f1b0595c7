# ruff: noqa: D102, ARG002, PLR0917 - methods in the forms that MXNet asks for
"""Operators in Python, as users write them; see `user_networks.py`."""

from __future__ import annotations

from typing import Any

from hpcmtl.training.gluon.compat import import_mxnet

mx = import_mxnet()


class Tanh(mx.operator.CustomOp):  # type: ignore[misc]
    """A hyperbolic tangent in Python."""

    def forward(self, is_train: Any, req: Any, in_data: Any, out_data: Any, aux: Any) -> None:
        self.assign(out_data[0], req[0], mx.nd.tanh(in_data[0]))

    def backward(self, req: Any, out_grad: Any, in_data: Any, out_data: Any, in_grad: Any, aux: Any) -> None:
        self.assign(in_grad[0], req[0], out_grad[0] * (1 - out_data[0] ** 2))


@mx.operator.register("table_tanh")
class TanhProperties(mx.operator.CustomOpProp):  # type: ignore[misc]
    """The properties that MXNet asks of the operator."""

    def create_operator(self, ctx: Any, shapes: Any, dtypes: Any) -> Any:
        return Tanh()


class TanhFunction(mx.autograd.Function):  # type: ignore[misc]
    """The same as a function."""

    def forward(self, x: Any) -> Any:
        y = mx.nd.tanh(x)
        self.save_for_backward(y)
        return y

    def backward(self, slopes: Any) -> Any:
        (y,) = self.saved_tensors
        return slopes * (1 - y * y)
