"""Compares the speed of the training loop with that of hand-written scripts, for the same network and batch.

    python benchmarks/step_overhead.py [--framework gluon] [--nets convnet,...] [--ranks 1,2,4] [--rounds 15]
                                       [--epochs 4] [--quick] [--json FILE]

The script of Gluon uses Horovod. Those of PyTorch use DistributedDataParallel over gloo, and one process alone; they
train a network that mostly computes (convnet) and two that mostly communicate (mlp of 0.1 and 1.3 million parameters).
For each network, number of ranks and script one mpirun alternates the two, round by round. The ratio of images/s is
taken pair by pair, so that a drift of the machine's speed cancels. Exit code 1 if a median ratio is below its bar.
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
BARS = {
    "gluon": {"horovod": {1: 0.95, 2: 0.95, 4: 0.95}},
    "torch": {"ddp": {1: 1.0, 2: 1.4, 4: 1.4}, "plain": {1: 0.97}},
}
"""Framework -> script -> number of ranks -> smallest ratio; scripts are compared where they have a bar."""
NETS = {"gluon": ("convnet",), "torch": ("convnet", "mlp_small", "mlp_large")}
"""Framework -> networks that its scripts have."""
WIDTHS = {"mlp_small": (128,), "mlp_large": (1024, 512)}
"""Network -> its hidden layers."""
SCRIPTS = {
    "horovod": "baselines.gluon_script:HorovodScript",
    "ddp": "baselines.torch_script:DdpScript",
    "plain": "baselines.torch_script:PlainScript",
}
BATCH = 64
IMAGES = 1920


def main() -> int:
    """Measures at each number of ranks, prints the table, and returns 0 if the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--framework", choices=list(BARS), default="gluon")
    parser.add_argument("--nets", help="networks (default: all of the framework)")
    parser.add_argument("--ranks", default="1,2,4")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--epochs", type=int, default=4, help="epochs per round")
    parser.add_argument("--quick", action="store_true", help="3 rounds, 1 and 2 ranks")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--as-rank", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--script", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_rank:
        measure(options)
        return 0
    if options.quick:
        options.ranks, options.rounds = "1,2", 3
    asked = [int(ranks) for ranks in options.ranks.split(",")]
    scripts = BARS[options.framework]
    rows = [
        launch(net, ranks, script, options)
        for net in (options.nets.split(",") if options.nets else NETS[options.framework])
        for script in scripts
        for ranks in asked
        if ranks in scripts[script]
    ]
    print("net        script   ranks  ours img/s  script img/s   ratio     min     max   bar  data wait")
    for row in rows:
        print(
            f"{row['net']:<9}  {row['name']:<7}  {row['ranks']:>5}  {row['ours']:>10.0f}  {row['script']:>12.0f}  "
            f"{row['ratio']:>6.3f}  {min(row['ratios']):>6.3f}  {max(row['ratios']):>6.3f}  {row['bar']:>4}  "
            f"{row['data_wait']:>8.2%}"
        )
    if options.json:
        options.json.write_text(json.dumps({"framework": options.framework, "rows": rows}, indent=2))
    return 0 if all(row["ratio"] >= row["bar"] for row in rows) else 1


def launch(net: str, ranks: int, script: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measures the training of a network against one script on `ranks` ranks."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        words = [sys.executable, "-m", "mpi4py", __file__, "--as-rank", str(out)]
        words += ["--rounds", str(options.rounds), "--epochs", str(options.epochs)]
        words += ["--framework", options.framework, "--script", script, "--nets", net]
        subprocess.run([ROOT / "launchers/mpirun.sh", "-np", str(ranks), *words], check=True, timeout=900)
        found: dict[str, Any] = json.loads(out.read_text())
    found["ratios"] = [ours / script for ours, script in zip(found["ours"], found["script"], strict=True)]
    for name in ("ours", "script"):
        found[name] = statistics.median(found[name])
    bar = BARS[options.framework][script][ranks]
    return {
        "net": net,
        "name": script,
        "ranks": ranks,
        "ratio": statistics.median(found["ratios"]),
        "bar": bar,
        **found,
    }


def measure(options: argparse.Namespace) -> None:
    """Runs one rank: alternates the two loops; rank 0 writes images/s of each round."""
    import importlib

    import numpy as np

    from hpcmtl.communicators.mpi import world as mpi_world
    from hpcmtl.data.hdf5 import write_dataset_file

    world = mpi_world()
    out, epochs = options.as_rank, options.epochs
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
    ours = OurLoop(world, path, options.framework, options.nets)
    module, _, name = SCRIPTS[options.script].partition(":")
    script = getattr(importlib.import_module(module), name)(world, path, BATCH, WIDTHS.get(options.nets))
    speeds: dict[str, list[float]] = {"ours": [], "script": []}
    for number in range(options.rounds + 1):
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

    def __init__(self, world: Any, path: Path, name: str, net: str) -> None:
        from hpcmtl.data.batches import BatchSpec
        from hpcmtl.data.sources import Source
        from hpcmtl.jobfile.tasks import Optimizer
        from hpcmtl.networks.description import Leaf
        from hpcmtl.networks.models import ConvNet, Mlp
        from hpcmtl.networks.objective import MAIN, Objective
        from hpcmtl.training.frameworks import open_framework
        from hpcmtl.training.learner_settings import LearnerSettings
        from hpcmtl.training.loop import TARGET
        from hpcmtl.training.multitask.step_gradients import weighted_sum
        from hpcmtl.training.replica import Replica
        from hpcmtl.training.step_input import INPUT_ROWS
        from hpcmtl.training.strategies.select import StrategySettings, open_strategy

        widths = WIDTHS.get(net)
        model = Mlp(widths=widths, outputs=10) if widths else ConvNet(channels=(16, 32), widths=(64,), outputs=10)
        objectives = (Objective(MAIN, "data/digit", "softmax_ce", 1.0, ()),)
        insisted = "horovod!" if name == "gluon" else "mpi!"
        engine = insisted if world.size > 1 else insisted.rstrip("!")  # the local engine is used then, as in every job
        settings = LearnerSettings(Optimizer(name="adam", learning_rate=1e-3))
        framework = open_framework(name)
        learner = framework.learner(Leaf(model), {"input": (1, 28, 28)}, objectives, settings)
        strategy = open_strategy(StrategySettings(engine), learner, framework, world)
        self.replica = Replica(learner, strategy, weighted_sum(objectives))
        self.replica.synchronise()
        self._world = world
        self._feed = BatchSpec(
            (Source(f"{INPUT_ROWS}input", path, "images"), Source(TARGET + MAIN, path, "digit")), BATCH
        )
        self._epoch = 0
        self.waited = self.seconds = 0.0
        self.recorder: Any = None  # a `StepRecorder`; None for none

    def train(self, epochs: int) -> None:
        """Trains some epochs."""
        from hpcmtl.data.batches import Batches
        from hpcmtl.data.cursor import Cursor
        from hpcmtl.training.loop import run_steps
        from hpcmtl.training.schedule import RateSchedule
        from hpcmtl.training.step_range import Hooks, StepRange

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
            RateSchedule(1e-3, 10**6),
        )
        hooks = Hooks(lambda _: None, lambda: False, **({} if self.recorder is None else {"recorder": self.recorder}))
        start = time.perf_counter()
        with Batches(
            self._feed, Cursor(first, 0, 0), Cursor(last, 0, 0), self._world.rank, self._world.size
        ) as batches:
            run_steps(self.replica, batches, step_range, self._world, hooks)
            self.waited += batches.waited_seconds
        self.seconds += time.perf_counter() - start
        self._epoch = last


if __name__ == "__main__":
    sys.exit(main())
