"""Kinds of user networks, and the tasks that train them; see `networks.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROWS, BATCH, EPOCHS = 13, 5, 4  # batches of 5, 5 and 3 are uneven for 2 and 3 ranks
SEED = 7


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of network.

    Attributes:
        title: name in the table.
        model: network in `user_networks`, or `module:network`.
        changes: keys of the task beside the usual ones.
        differs: reason for which ranks give other results, empty where they must not.
        remark: another remark for the table.
        python: whether its job runs without oneDNN.
    """

    title: str
    model: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    differs: str = ""
    remark: str = ""
    python: bool = False


WORDS = {"input": "d/words"}
NUMBERS = {"target": "d/numbers"}
NORM = "each rank normalises its own share of a batch"
PLAIN = "not compiled, and the log says so"
ROWS_ALONE = "each rank has its own rows of a batch alone, and the log says so"
DRAWS = "masks belong to ranks, and the order of the samples is shuffled"


def own(name: str, **options: Any) -> dict[str, Any]:
    """Returns the key `optimizer`."""
    return {"optimizer": {"name": name, "learning_rate": 0.05, **options}}


KINDS: dict[str, Kind] = {
    "dense": Kind(title="dense"),
    "convolution": Kind(title="convolution and pooling"),
    "grouped": Kind(title="grouped convolution"),
    "dilated": Kind(title="dilated convolution"),
    "depthwise": Kind(title="depthwise and pointwise convolution"),
    "transposed": Kind(title="strided and transposed convolution"),
    "one_axis": Kind(title="convolution over one axis"),
    "three_axes": Kind(title="convolution over three axes"),
    "residual": Kind(title="residual sum and concatenation", model="Residual"),
    "attention": Kind(title="attention", model="Attention"),
    "batch_norm": Kind(title="batch norm", differs=NORM),
    "layer_norm": Kind(title="layer norm"),
    "group_norm": Kind(title="group norm"),
    "instance_norm": Kind(title="instance norm"),
    "prelu": Kind(title="PReLU", remark=PLAIN),
    "activations": Kind(title="ELU, SELU, GELU, Swish, leaky ReLU"),
    "dropout": Kind(title="dropout", differs=DRAWS),
    "lstm": Kind(title="LSTM, two layers"),
    "gru": Kind(title="GRU, both directions"),
    "unrolled": Kind(title="unrolled LSTM cell", model="Unrolled"),
    "embedding": Kind(title="embedding", changes=WORDS),
    "sparse_embedding": Kind(title="embedding with row-sparse gradients", changes=WORDS),
    "tied": Kind(title="tied weights", model="Tied", changes=WORDS),
    "repeated": Kind(title="a block applied twice", model="Repeated"),
    "operator": Kind(title="own operator (`CustomOp`)"),
    "operator_beside_convolutions": Kind(
        title="own operator beside convolutions", python=True, remark="without oneDNN, and the log says so"
    ),
    "columns": Kind(
        title="single units joined, with batch normalisation",
        model="Columns",
        python=True,
        differs=NORM,
        remark="without oneDNN, and the log says so",
    ),
    "columns_operator": Kind(
        title="single units joined, with an own operator",
        model="columns_operator",
        python=True,
        remark="without oneDNN, and the log says so",
    ),
    "function": Kind(title="own function (`autograd.Function`)", model="Function"),
    "asks": Kind(title="asks whether it is in training", model="user_branches:scaled_in_training", remark=PLAIN),
    "auxiliary": Kind(title="a branch that training alone has", model="user_branches:Auxiliary", remark=PLAIN),
    "noise": Kind(
        title="noise in training alone", model="user_branches:noisy_in_training", differs=DRAWS, remark=PLAIN
    ),
    "positive_slopes": Kind(
        title="PReLU of mostly positive values", model="user_branches:positive_slopes", remark=PLAIN
    ),
    "coupled": Kind(title="subtracts the mean over the batch", model="user_branches:centred", differs=ROWS_ALONE),
    "own_loss": Kind(  # the fourth power needs a small rate
        title="own loss",
        model="dense",
        changes={**NUMBERS, **own("sgd", learning_rate=0.005), "loss": "user_networks:OwnLoss"},
    ),
    "own_optimizer": Kind(title="own optimizer", model="dense", changes=own("user_networks:OwnOptimizer")),
    "adam": Kind(title="Adam with weight decay", model="convolution", changes=own("adam", weight_decay=0.01)),
    "lamb": Kind(title="LAMB", model="convolution", changes=own("lamb")),
    "constant": Kind(title="constant", model="WithConstant"),
    "rates": Kind(title="`lr_mult`"),
    "decays": Kind(title="`wd_mult`", changes=own("sgd", weight_decay=0.1)),
    "untrained": Kind(title="`grad_req` null"),
    "frozen": Kind(title="frozen by `freeze`", model="dense", changes={"freeze": ["1.*"]}),
    "parts": Kind(title="own block with parts", model="Parts"),
    "outputs": Kind(title="several outputs (`joint`), on a trunk of the row above"),
}


def task_of(key: str, ranks: int, *, one_step: bool) -> dict[str, Any]:
    """Returns the task of a kind in the job file."""
    kind = KINDS[key]
    length = {"batch_size": ROWS, "epochs": 1} if one_step else {"batch_size": BATCH, "epochs": EPOCHS}
    common = {"input": "d/images", "ranks": ranks, **own("sgd", options={"momentum": 0.9}), **length, **kind.changes}
    if key == "outputs":
        head = {"model": {"name": "user_networks:head"}}
        heads = {
            "a": {**head, "target": "d/classes", "loss": "softmax_ce", "weight": 1.0},
            "b": {**head, "target": "d/numbers", "loss": "l2", "weight": 0.3},
        }
        trunk = {"needs": {"parts-1": "parameters"}, "trunk": {"from": "parts-1", "part": "body"}}
        return {"kind": "joint", **trunk, "heads": heads, **common}
    network = kind.model or key
    model = {"name": network if ":" in network else f"user_networks:{network}"}
    loss = {"target": "d/classes", "loss": "l2" if "target" in kind.changes else "softmax_ce"}
    return {"kind": "train", "model": model, **loss, **common}


def job_of(keys: Sequence[str], ranks: int, data: Path) -> dict[str, Any]:
    """Returns a job file: for each kind a task of one step, and one of some epochs."""
    one = {f"{key}-1": task_of(key, ranks, one_step=True) for key in keys}
    more = {f"{key}-n": task_of(key, ranks, one_step=False) for key in keys}
    head = {"hpcmtl": 1, "job": f"networks{ranks}", "seed": SEED, "ranks": ranks, "data": {"d": str(data)}}
    return {**head, "modules": [str(Path(__file__).parent)], "tasks": {**one, **more}}
