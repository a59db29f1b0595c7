"""Describes the framework PyTorch; does not import it."""

from __future__ import annotations

from hpcmtl.frameworks.description import INSIST, FrameworkDescription
from hpcmtl.networks.zoo import ZOO

TORCH = FrameworkDescription(
    name="torch",
    title="PyTorch",
    factory="hpcmtl.training.torch.framework:TorchFramework",
    losses=("l2", "l1", "softmax_ce", "sigmoid_bce", "huber"),
    smoothed_losses=("softmax_ce", "sigmoid_bce"),
    loss_classes={
        "torch.nn.modules.loss:CrossEntropyLoss": "softmax_ce",
        "torch.nn.functional:cross_entropy": "softmax_ce",
        "torch.nn.modules.loss:BCEWithLogitsLoss": "sigmoid_bce",
        "torch.nn.functional:binary_cross_entropy_with_logits": "sigmoid_bce",
    },
    loss_module="torch.nn",
    optimizers=(
        "sgd",
        "adam",
        "adamw",
        "adamax",
        "nadam",
        "radam",
        "rmsprop",
        "adagrad",
        "adadelta",
        "adafactor",
        "asgd",
        "rprop",
    ),
    # Horovod 0.28.1 cannot be built for torch 2.1 and later, and KVStore is MXNet's: a task that asks for one of them,
    # as under `defaults` of a job of both frameworks, gets `mpi` with a word about it.
    engines=("mpi", "local", "nccl", "horovod", "kvstore", f"mpi{INSIST}", f"nccl{INSIST}"),
    compressions=("none", "fp16", "auto"),
    models=tuple(ZOO),
    shares_zoo=True,
    gradient_places=("shared", "last_shared_layer", "features"),
    set_up="run HPCMTL_FRAMEWORKS=mxnet,torch launchers/bootstrap.sh",
    required=("torch",),
    checks="hpcmtl.training.torch.doctor:CHECKS",
)
