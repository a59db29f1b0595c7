# ruff: noqa: D102, N803, ARG002 - methods in the forms that MXNet asks for
"""Networks that compute otherwise in training, with other rows, or with other signs; see `user_networks.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from user_networks import HybridBlock, chain, mx, nn

if TYPE_CHECKING:
    from collections.abc import Callable


class Auxiliary(HybridBlock):
    """A branch that is added in training."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.beside = nn.Dense(3), nn.Dense(3, in_units=36)

    def hybrid_forward(self, F: Any, x: Any) -> Any:
        return self.out(x) + self.beside(x) if mx.autograd.is_training() else self.out(x)


def positive_slopes() -> Any:
    first = nn.Dense(8, bias_initializer=mx.init.Constant(2.0))
    return chain(nn.Flatten(), first, nn.PReLU(), nn.Dense(3))


def centred() -> Any:
    less_the_mean = nn.HybridLambda(lambda F, x: F.broadcast_sub(x, F.mean(x, axis=0, keepdims=True)))
    return chain(nn.Flatten(), nn.Dense(8, activation="relu"), less_the_mean, nn.Dense(3))


def _changed_in_training(change: Callable[[Any, Any], Any]) -> Any:
    class Asking(nn.HybridSequential):  # type: ignore[misc]
        def hybrid_forward(self, F: Any, x: Any) -> Any:
            made = super().hybrid_forward(F, x)
            return change(F, made) if mx.autograd.is_training() else made

    made = Asking()
    made.add(nn.Flatten(), nn.Dense(3))
    return made


def scaled_in_training() -> Any:
    return _changed_in_training(lambda _, made: made * 2)


def noisy_in_training() -> Any:
    return _changed_in_training(lambda F, made: made + F.random.normal_like(made))
