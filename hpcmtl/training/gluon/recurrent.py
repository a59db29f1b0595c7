"""The recurrent model of the zoo in Gluon: tokens to vectors, a recurrent layer, and one vector for each sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.networks.models import GATES
from hpcmtl.training.gluon.compat import import_mxnet

if TYPE_CHECKING:
    from hpcmtl.networks.models import EmbeddingRnn

mx = import_mxnet()
_HybridBlock: Any = mx.gluon.HybridBlock


class RecurrentBlock(_HybridBlock):
    """Embedding and recurrent layer over tokens (n, length) int64; returns a vector for each sample or each token."""

    def __init__(self, model: EmbeddingRnn) -> None:
        super().__init__()
        self._pooling = None if model.per_token else model.pooling
        self.embedding = mx.gluon.nn.Embedding(model.vocabulary, model.embedding)
        self.rnn = _Recurrent(model)

    def hybrid_forward(self, F: Any, tokens: Any) -> Any:  # noqa: N803 - Gluon's form
        """Returns the mean of the states at tokens that are no padding, the state at the last of them, or all states.

        No state depends on padding behind its token.
        """
        states = self.rnn(self.embedding(tokens))
        if self._pooling is None:
            return states
        real = F.cast(tokens != 0, dtype="float32")
        if self._pooling == "mean":
            known = F.sum(real, axis=1, keepdims=True)
            weights = F.broadcast_div(real, F.maximum(known, 1))
        else:
            places = F.broadcast_mul(real, F.expand_dims(F.contrib.arange_like(real, start=1, axis=1), axis=0))
            weights = real * F.broadcast_equal(places, F.max(places, axis=1, keepdims=True))
        return F.sum(F.broadcast_mul(states, F.expand_dims(weights, axis=2)), axis=1)


class _Recurrent(_HybridBlock):
    """One recurrent layer with the parameters of PyTorch's: their names, and the order of their gates, which is one."""

    def __init__(self, model: EmbeddingRnn) -> None:
        super().__init__()
        self._cell, self._hidden = model.cell, model.hidden
        rows = GATES[model.cell] * model.hidden
        shapes = {"ih": (rows, model.embedding), "hh": (rows, model.hidden)}
        for name, shape in shapes.items():
            weight = self.params.get(f"weight_{name}_l0", shape=shape, init=mx.init.Xavier())
            setattr(self, f"weight_{name}_l0", weight)
            bias = self.params.get(f"bias_{name}_l0", shape=(rows,), init="zeros")
            setattr(self, f"bias_{name}_l0", bias)

    def hybrid_forward(self, F: Any, vectors: Any, **parameters: Any) -> Any:  # noqa: N803 - Gluon's form
        """Returns the states (n, length, hidden) for vectors (n, length, width); the first state is 0."""
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        flat = [F.reshape(parameters[name], shape=(-1,)) for name in names]
        joined = F._internal._rnn_param_concat(*flat, dim=0)  # noqa: SLF001 - as Gluon's own layers do
        steps = F.swapaxes(vectors, dim1=0, dim2=1)
        one = F.zeros_like(F.slice(steps, begin=(0, None, 0), end=(1, None, 1)))
        zeros = F.broadcast_axis(one, axis=2, size=self._hidden)
        begin = [zeros, zeros] if self._cell == "lstm" else [zeros]
        states = F.RNN(steps, joined, *begin, mode=self._cell, state_size=self._hidden, num_layers=1)
        return F.swapaxes(states, dim1=0, dim2=1)
