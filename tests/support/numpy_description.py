"""Describes the framework of `numpy_framework`, as an installed package would."""

from hpcmtl.frameworks.description import FrameworkDescription

NUMPY = FrameworkDescription(
    name="numpy",
    title="plain numpy",
    factory="numpy_framework:NumpyFramework",
    losses=("l2", "softmax_ce"),
    optimizers=("sgd",),
    engines=("mpi", "local", "mpi!"),
    models=("mlp",),
    required=("numpy",),
)
