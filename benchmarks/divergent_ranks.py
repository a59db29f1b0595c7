"""Shows that ranks with different tasks wait for ever in plain Horovod, and that the same two tasks run here.

usage: python benchmarks/divergent_ranks.py [--seconds 30]

Horovod's collectives are met by all ranks. Here one rank's network has more parameters than the other's: it waits for
sums that its neighbour never asks for, and the neighbour for its next step. It needs MXNet and Horovod. Exits with 0
if the plain program hung and the job completed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.data.split import split_by_hash

PLAIN = """
from hpcmtl.training.gluon.compat import import_mxnet
mx = import_mxnet()  # names that numpy has lost
import horovod.mxnet as hvd
hvd.init()
net = mx.gluon.nn.Sequential()
for _ in range(1 + hvd.rank()):  # each rank has a task of its own
    net.add(mx.gluon.nn.Dense(1))
net.initialize()
net(mx.nd.ones((4, 3)))
trainer = hvd.DistributedTrainer(net.collect_params(), "sgd")
for step in range(3):
    with mx.autograd.record():
        loss = net(mx.nd.ones((4, 3))).sum()
    loss.backward()
    trainer.step(4)
mx.nd.waitall()
print("done", flush=True)
"""
TASK = {"kind": "train", "input": "d/x", "loss": "l2", "epochs": 2, "ranks": 1}
JOB = {
    "hpcmtl": 1,
    "job": "divergent",
    "ranks": 2,
    "data": {"d": "d.h5"},
    "defaults": {"batch_size": 20, "optimizer": {"name": "sgd", "learning_rate": 0.01}},
    "tasks": {
        "first": {**TASK, "target": "d/y", "model": {"name": "mlp", "widths": [4], "outputs": 1}},
        "second": {**TASK, "target": "d/z", "model": {"name": "mlp", "widths": [8], "outputs": 2}},
    },
}


def plain(seconds: float) -> str:
    """Returns what the plain program did: its end, or that it still waited after some seconds."""
    words = ["mpirun", "-n", "2", "--bind-to", "none", "--oversubscribe", "--allow-run-as-root"]
    process = subprocess.Popen(
        [*words, sys.executable, "-c", PLAIN], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.communicate(timeout=60)
        return "waits"
    return f"ended with {process.returncode}: {said.strip()}"


def main() -> int:
    """Prints what both did, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30, help="after which the plain program is ended")
    found = plain(parser.parse_args().seconds)
    print(f"plain Horovod, a task on each of two ranks: {found}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder, random = Path(name), np.random.default_rng(0)
        arrays = {
            key: random.normal(size=(200, width)).astype(np.float32) for key, width in (("x", 3), ("y", 1), ("z", 2))
        }
        write_dataset_file(folder / "d.h5", arrays, split_by_hash(200, [0.8, 0.1, 0.1], seed=1))
        (folder / "job.yaml").write_text(yaml.safe_dump(JOB), encoding="utf-8")
        start = time.perf_counter()
        done = subprocess.run(
            ["hpcmtl", "run", "job.yaml"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
        print(f"hpcmtl, the same tasks: ended with {done.returncode} after {time.perf_counter() - start:.0f} s")
    return 0 if found == "waits" and done.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
