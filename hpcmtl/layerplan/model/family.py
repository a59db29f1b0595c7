"""Families of tasks, and the expected step time of a family from its size alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hpcmtl.layerplan.model.machine import ONE_NODE
from hpcmtl.layerplan.model.step_time_model import Posterior, StepParameters, prior

if TYPE_CHECKING:
    from hpcmtl.layerplan.model.machine import Machine
    from hpcmtl.taskgraph.graph import TaskNode

# Times of small Gluon networks on one CPU core per rank. They decide the widths of tasks until steps are measured.
LAYER_SECONDS = 0.04  # s per layer: command, communicator, engine, first step (measured: 35-43 ms)
STEP_SECONDS = 2e-3  # s per step: Python, operator dispatch, optimizer (measured: 2 ms for an MLP, 7 for a convnet)
PRODUCT_FLOPS = 80e9  # operations per second of a matrix product on one core, if not probed
TRAINED_PART = 0.25  # fraction of these in training of small convolutional networks (measured: 0.11 to 0.33)
APPLIED_PART = 0.6  # fraction of these in a forward pass alone (measured: 0.4 to 1)
# A step costs as much as if it had this number of additional rows (measured: 25 to 40, between steps of 64 and of 32
# rows). Few rows do not use a core fully: two ranks that share a batch take two thirds of the time, not half.
EXTRA_ROWS = 32
TRAIN_FLOPS = 6  # operations per multiplication: multiply and add, forward and twice backward
APPLY_FLOPS = 2  # operations per multiplication, forward alone
READ_SECONDS = 1e-9  # s per byte of input
ROUND_SECONDS = 7e-4  # s per round of the allreduce: Horovod's cycle time is 1 ms (measured: 0.6 to 0.8 ms)
WIRE_SECONDS = 1e-9  # s per byte of gradient between ranks
GRADIENT_BYTES = 4  # bytes per parameter
ACROSS = 1.1  # factor of a round's time between nodes
OVERLAP = 0.1  # small gradients hardly overlap with computation
PYTHON_SECONDS = 1.0  # s of a user's callable beyond reading its input; a guess

# Standard deviations of the logarithms of the values that the constants predict.
SPREAD = StepParameters(0.7, 0.7, 1.0, 1.0, 1.0, 1.0, 0.5)


class Family(NamedTuple):
    """Identifies tasks whose steps take the same time.

    Attributes:
        kind: task kind.
        parameters: number of trainable scalars.
        multiplications: multiplications of one row in a forward pass.
        sample_bytes: bytes of one input row.
        batch_size: rows of one step, over the whole group for training tasks.
        name: name of an opaque task, which has no other description; else empty.
        trains: True if the group shares each batch and combines gradients after it.
    """

    kind: str
    parameters: int
    multiplications: int
    sample_bytes: int
    batch_size: int
    name: str = ""
    trains: bool = False

    @property
    def opaque(self) -> bool:
        """True if only earlier layers of the same task tell its time; see `Work`."""
        return bool(self.name)


def family_of(task: TaskNode) -> Family:
    """Returns the family of a task."""
    work = task.work
    name = task.name if work.opaque else ""
    multiplications = max(work.multiplications, work.parameters)  # one per parameter, if nothing better is known
    return Family(task.kind, work.parameters, multiplications, work.sample_bytes, work.batch_size, name, work.trains)


def expected(family: Family, machine: Machine = ONE_NODE) -> Posterior:
    """Returns the prior of a family from the size of its steps, and the probed speed of ranks and network."""
    product = 1 / (machine.flops or PRODUCT_FLOPS)
    row = family.sample_bytes * READ_SECONDS
    if family.opaque:
        known = StepParameters(PYTHON_SECONDS + row * family.batch_size, 0, 0, 0, 0, 0, OVERLAP)
    elif family.trains:
        gradient = family.parameters * GRADIENT_BYTES
        wire, across = gradient * WIRE_SECONDS, gradient * (machine.seconds_per_byte or WIRE_SECONDS)
        # A round within a node waits for Horovod's cycle; between nodes its messages travel in addition.
        round_across = ROUND_SECONDS + machine.latency if machine.latency else ROUND_SECONDS * ACROSS
        computing = family.multiplications * TRAIN_FLOPS * product / TRAINED_PART
        fixed, row = STEP_SECONDS + EXTRA_ROWS * computing, row + computing
        known = StepParameters(fixed, row, ROUND_SECONDS, wire, round_across, across, OVERLAP)
    else:
        row += family.multiplications * APPLY_FLOPS * product / APPLIED_PART
        known = StepParameters(STEP_SECONDS, row, 0, 0, 0, 0, OVERLAP)
    return prior(known, SPREAD)
