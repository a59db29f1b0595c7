"""Dense and convolutional layers with their activations and initial parameters."""

from __future__ import annotations

from typing import Any

from hpcmtl.training.torch.compat import import_torch

torch = import_torch()
nn = torch.nn
_Linear: Any = nn.Linear
_Conv2d: Any = nn.Conv2d
ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, None: None}


class DenseLayer(_Linear):
    """Dense layer with its activation."""

    def __init__(self, inputs: int, outputs: int, activation: str | None = None) -> None:
        super().__init__(inputs, outputs)
        self._activation = ACTIVATIONS[activation]
        initialise(self)

    def forward(self, x: Any) -> Any:
        """Returns the outputs behind the activation."""
        made = super().forward(x)
        return made if self._activation is None else self._activation(made)


class ConvolutionLayer(_Conv2d):
    """'Same' convolution with its activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, activation: str | None) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self._activation = ACTIVATIONS[activation]
        initialise(self)

    def forward(self, x: Any) -> Any:
        """Returns the outputs behind the activation."""
        made = super().forward(x)
        return made if self._activation is None else self._activation(made)


def initialise(layer: Any) -> None:
    """Gives a layer the initial parameters of Glorot and Bengio (2010), with biases of 0, as in Gluon's models."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
