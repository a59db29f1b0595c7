"""Describes the framework MXNet Gluon; imports neither MXNet nor Horovod."""

from __future__ import annotations

from hpcmtl.frameworks.description import INSIST, FrameworkDescription
from hpcmtl.networks.zoo import ZOO

GLUON = FrameworkDescription(
    name="gluon",
    title="MXNet Gluon",
    factory="hpcmtl.training.gluon.framework:GluonFramework",
    losses=("l2", "l1", "softmax_ce", "sigmoid_bce", "huber"),
    smoothed_losses=("softmax_ce", "sigmoid_bce"),
    loss_classes={
        "mxnet.gluon.loss:SoftmaxCrossEntropyLoss": "softmax_ce",
        "mxnet.gluon.loss:SigmoidBinaryCrossEntropyLoss": "sigmoid_bce",
    },
    loss_module="mxnet.gluon.loss",
    optimizers=(
        "sgd",
        "nag",
        "adam",
        "adamax",
        "nadam",
        "rmsprop",
        "adagrad",
        "adadelta",
        "ftrl",
        "signum",
        "lamb",
        "lars",
        "lbsgd",
        "ftml",
        "dcasgd",
        "sgld",
        "groupadagrad",
        "ccsgd",
    ),
    engines=("horovod", "kvstore", "mpi", "local", f"horovod{INSIST}", f"kvstore{INSIST}"),
    compressions=("none", "fp16", "auto"),
    models=tuple(ZOO),
    shares_zoo=True,
    gradient_places=("shared", "features"),
    set_up="run HPCMTL_FRAMEWORKS=mxnet,torch launchers/bootstrap.sh",
    required=("mxnet",),
    optional=("horovod", "mxnet-cu112"),
    checks="hpcmtl.training.gluon.doctor:CHECKS",
    mpi_libraries={"Horovod": "hpcmtl.training.gluon.compat:import_horovod"},
)
