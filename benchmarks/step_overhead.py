"""Compares the speed of the training loop with that of a hand-written Horovod/Gluon script, for the same network.

    python benchmarks/step_overhead.py [--ranks 1,2,4] [--rounds 15] [--epochs 4] [--quick] [--json FILE]

For each number of ranks one mpirun alternates the two, round by round. The ratio of images/s is taken pair by pair, so
that a drift of the machine's speed cancels. Exit code 1 if a median ratio is below 0.95.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BAR = 0.95
BATCH = 64
IMAGES = 1920


def main() -> int:
    """Measures at each number of ranks, prints the table, and returns 0 if the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", default="1,2,4")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--epochs", type=int, default=4, help="epochs per round")
    parser.add_argument("--quick", action="store_true", help="3 rounds, 1 and 2 ranks")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--as-rank", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_rank:
        measure(options.as_rank, options.rounds, options.epochs)
        return 0
    if options.quick:
        options.ranks, options.rounds = "1,2", 3
    rows = [launch(int(ranks), options) for ranks in options.ranks.split(",")]
    print("ranks  ours img/s  script img/s   ratio     min     max  data wait")
    for row in rows:
        print(
            f"{row['ranks']:>5}  {row['ours']:>10.0f}  {row['script']:>12.0f}  {row['ratio']:>6.3f}  "
            f"{min(row['ratios']):>6.3f}  {max(row['ratios']):>6.3f}  {row['data_wait']:>8.2%}"
        )
    if options.json:
        options.json.write_text(json.dumps({"bar": BAR, "rows": rows}, indent=2))
    return 0 if all(row["ratio"] >= BAR for row in rows) else 1


def launch(ranks: int, options: argparse.Namespace) -> dict[str, Any]:
    """Measures on `ranks` ranks."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        words = [sys.executable, "-m", "mpi4py", __file__, "--as-rank", str(out)]
        words += ["--rounds", str(options.rounds), "--epochs", str(options.epochs)]
        subprocess.run([ROOT / "launchers/mpirun.sh", "-np", str(ranks), *words], check=True, timeout=900)
        found: dict[str, Any] = json.loads(out.read_text())
    found["ratios"] = [ours / script for ours, script in zip(found["ours"], found["script"], strict=True)]
    for name in ("ours", "script"):
        found[name] = statistics.median(found[name])
    return {"ranks": ranks, "ratio": statistics.median(found["ratios"]), **found}


def measure(out: Path, rounds: int, epochs: int) -> None:
    """Runs one rank: alternates the two loops; rank 0 writes images/s of each round."""
    import numpy as np

    from hpcmtl.communicators.mpi import world as mpi_world
    from hpcmtl.data.hdf5 import write_dataset_file

    world = mpi_world()
    path = out.with_name("images.h5")
    if world.rank == 0:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 255, (IMAGES, 1, 28, 28)).astype(np.uint8)
        labels = rng.integers(0, 10, IMAGES)
        write_dataset_file(
            path,
            {"images": images, "digit": labels},
            np.zeros(IMAGES, np.uint8),
            {"images": {"scale": 1 / 255}},
            overwrite=True,
        )
    world.barrier()
    ours = OurLoop(world, path)
    script = HandWritten(world, path)
    speeds: dict[str, list[float]] = {"ours": [], "script": []}
    for number in range(rounds + 1):
        for name, loop in (("ours", ours), ("script", script)) if number % 2 else (("script", script), ("ours", ours)):
            world.barrier()
            start = time.perf_counter()
            loop.train(epochs)
            world.barrier()
            if number > 0:  # the first round is a warm-up of the framework's caches
                speeds[name].append(IMAGES * epochs / (time.perf_counter() - start))
    ours.replica.close()
    if world.rank == 0:
        out.write_text(json.dumps({**speeds, "data_wait": ours.waited / ours.seconds}))


class OurLoop:
    """Trains by hpcmtl: batches from HDF5, learner, synchronisation, agreements."""

    def __init__(self, world: Any, path: Path) -> None:
        from hpcmtl.data.batches import BatchSpec
        from hpcmtl.data.sources import Source
        from hpcmtl.jobfile.tasks import Optimizer
        from hpcmtl.networks.description import Leaf
        from hpcmtl.networks.models import ConvNet
        from hpcmtl.networks.objective import MAIN, Objective
        from hpcmtl.training.gluon.framework import GluonFramework
        from hpcmtl.training.learner import LearnerSettings
        from hpcmtl.training.loop import INPUT, TARGET
        from hpcmtl.training.multitask.weighting import FixedWeights
        from hpcmtl.training.replica import Replica
        from hpcmtl.training.strategies.select import StrategySettings, open_strategy

        model = ConvNet(channels=(16, 32), widths=(64,), outputs=10)
        objectives = (Objective(MAIN, "data/digit", "softmax_ce", 1.0, ()),)
        engine = "horovod!" if world.size > 1 else "horovod"  # the local engine is used then, as in every job
        settings = LearnerSettings(Optimizer(name="adam", learning_rate=1e-3))
        framework = GluonFramework()
        learner = framework.learner(Leaf(model), (1, 28, 28), objectives, settings)
        strategy = open_strategy(StrategySettings(engine), learner, framework, world)
        self.replica = Replica(learner, strategy, FixedWeights(objectives))
        self.replica.synchronise()
        self._world = world
        self._feed = BatchSpec((Source(INPUT, path, "images"), Source(TARGET + MAIN, path, "digit")), BATCH)
        self._epoch = 0
        self.waited = self.seconds = 0.0

    def train(self, epochs: int) -> None:
        """Trains some epochs."""
        from hpcmtl.data.batches import Batches
        from hpcmtl.data.cursor import Cursor
        from hpcmtl.training.loop import Hooks, StepRange, run_steps
        from hpcmtl.training.schedule import RateSchedule

        per_epoch = IMAGES // BATCH
        first, last = self._epoch, self._epoch + epochs
        step_range = StepRange(
            "bench",
            0,
            first * per_epoch,
            last * per_epoch,
            per_epoch,
            ("main",),
            BATCH,
            BATCH,
            RateSchedule(1e-3, 10**6),
        )
        hooks = Hooks(lambda _: None, lambda: False)
        start = time.perf_counter()
        with Batches(
            self._feed, Cursor(first, 0, 0), Cursor(last, 0, 0), self._world.rank, self._world.size
        ) as batches:
            run_steps(self.replica, batches, step_range, self._world, hooks)
            self.waited += batches.waited_seconds
        self.seconds += time.perf_counter() - start
        self._epoch = last


class HandWritten:
    """Trains as Horovod's own MXNet example does, with each rank's share of the images in memory."""

    def __init__(self, world: Any, path: Path) -> None:
        import h5py
        import numpy as np

        from hpcmtl.training.gluon.compat import import_horovod, import_mxnet

        self._mx, self._hvd = mx, hvd = import_mxnet(), import_horovod()
        if not hvd.is_initialized():  # one rank: the other side uses the local engine
            hvd.init(comm=world.native)
        with h5py.File(path, "r", locking=False) as file:
            images = file["images"][world.rank :: world.size].astype(np.float32) / 255
            labels = file["digit"][world.rank :: world.size]
        self._data = mx.io.NDArrayIter(images, labels, batch_size=BATCH // world.size, shuffle=True)
        self._net = net = mx.gluon.nn.HybridSequential()
        for channels in (16, 32):
            net.add(mx.gluon.nn.Conv2D(channels, 3, padding=1, activation="relu"), mx.gluon.nn.MaxPool2D())
        net.add(mx.gluon.nn.Dense(64, activation="relu"), mx.gluon.nn.Dense(10))
        net.initialize(mx.init.Xavier())
        net.infer_shape(mx.nd.zeros((1, 1, 28, 28)))
        net.hybridize(static_alloc=True)
        self._loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
        self._loss.hybridize()
        parameters = net.collect_params()
        hvd.broadcast_parameters(parameters, root_rank=0, prefix="script.")
        options = {"learning_rate": 1e-3}
        self._trainer = hvd.DistributedTrainer(parameters, "adam", options, prefix="script.", num_groups=1)

    def train(self, epochs: int) -> None:
        """Trains some epochs."""
        mx = self._mx
        for _ in range(epochs):
            self._data.reset()
            for batch in self._data:
                images, labels = batch.data[0], batch.label[0]
                with mx.autograd.record():
                    loss = self._loss(self._net(images), labels)
                loss.backward()
                self._trainer.step(len(images))
        mx.nd.waitall()


if __name__ == "__main__":
    sys.exit(main())
