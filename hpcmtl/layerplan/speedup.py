"""How long a task takes on a number of ranks, predicted from its size before anything was measured.

One step of data-parallel training is: a fixed part, the samples of the fullest rank, and the combination of gradients.
The allreduce term is the usual latency-bandwidth form: log2(p) rounds there and back, and 2 (p - 1) / p of the gradient
over the wire.

The constants are a PRIOR, of the order of what small Gluon networks do on one CPU core a rank. They are to be replaced
by measured step times as soon as there are any; until then they decide which tasks are big and how far they scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hpcmtl.taskgraph.graph import TaskNode
    from hpcmtl.taskgraph.levels import Floats, Ints
    from hpcmtl.taskgraph.work import Work

LAYER_SECONDS = 0.04  # s a layer: command, communicator, engine, first step (measured: 35-43 ms)
STEP_SECONDS = 1.5e-3  # s a step: Python, operator dispatch, optimizer
FLOP_SECONDS = 1 / 3e9  # s a floating point operation of one rank on small layers
TRAIN_FLOPS = 6  # operations a parameter and sample: multiply and add, forward and twice backward
APPLY_FLOPS = 2  # operations a parameter and sample, forward alone
READ_SECONDS = 1e-9  # s a byte of input
ROUND_SECONDS = 2e-4  # s a round of the allreduce (latency and negotiation)
WIRE_SECONDS = 1e-9  # s a byte of gradient between ranks
GRADIENT_BYTES = 4  # bytes a parameter
PYTHON_SECONDS = 1.0  # s of a user's callable beyond reading its input: nothing is known of it


def seconds_at(task: TaskNode, widths: Ints) -> Floats:
    """Predicted seconds (K,) of the whole task, all layers and passes, at each number of ranks in `widths` (K,).

    A `python` task is taken to be as slow on many ranks as on one. Other times need not fall with the width: a small
    batch on many ranks is all latency.
    """
    work = task.work
    ranks = np.asarray(widths, dtype=np.float64)
    if task.kind == "python":
        return np.full(len(ranks), LAYER_SECONDS + PYTHON_SECONDS + READ_SECONDS * work.input_bytes)
    seconds: Floats = task.layers * LAYER_SECONDS + (_training(work, ranks) if work.trains else _applying(work, ranks))
    return seconds


def _training(work: Work, ranks: Floats) -> Floats:
    """The group shares each batch and combines gradients after it."""
    sample = work.parameters * TRAIN_FLOPS * FLOP_SECONDS + work.sample_bytes * READ_SECONDS
    wire = 2 * (ranks - 1) / ranks * work.parameters * GRADIENT_BYTES * WIRE_SECONDS
    allreduce = 2 * ROUND_SECONDS * np.ceil(np.log2(ranks)) + wire
    rows = np.ceil(min(work.batch_size, work.samples) / ranks)
    seconds: Floats = work.steps * (STEP_SECONDS + sample * rows + allreduce)
    return seconds


def _applying(work: Work, ranks: Floats) -> Floats:
    """The group shares the rows once; each rank runs its own batches and waits for nobody."""
    sample = work.parameters * APPLY_FLOPS * FLOP_SECONDS + work.sample_bytes * READ_SECONDS
    rows = np.ceil(work.samples / ranks)
    seconds: Floats = np.ceil(rows / work.batch_size) * STEP_SECONDS + rows * sample
    return seconds
