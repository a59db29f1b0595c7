"""Checks that PyTorch tasks compute on the GPUs of this machine as they do on its CPUs, and how fast.

    python benchmarks/gpu_check.py [--steps 20] [--json FILE] [--rehearse]

One row a check: equality with the CPU, gradients in fp16, step rate by that of a plain loop of PyTorch, a job that is
killed and resumed, and with two GPUs NCCL against MPI. Exit code 0 if all rows meet their bounds, 1 if one does not,
and 3 on a machine without a GPU that PyTorch can use: nothing is checked there.

`--rehearse` runs the same program on the CPU, with Gloo in place of NCCL. It tests this program, and shows nothing
about GPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gpu_checking.trainings import IMAGE, MODELS, OPTIMIZERS, RATE, batch_of, difference, replica_on, timed, trained

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.exchange.store import read_sealed
from hpcmtl.frameworks.device import HOST, Device
from hpcmtl.launch.resources.gpus import count_by_bus, visible_gpus

if TYPE_CHECKING:
    from hpcmtl.arrays import Arrays
    from hpcmtl.communicators.base import Communicator

ROOT = Path(__file__).resolve().parent.parent
NO_GPU = 3
EQUAL, HALVES, SAME, RATIO = 1e-3, 2e-2, 1e-6, 0.9
"""Bounds: largest difference by the largest change of a parameter, on another device, with fp16 gradients, and after a
resume; least step rate by that of a plain loop."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        check: name of the check.
        found: what was measured.
        bound: what is required.
        ok: whether it is met.
    """

    check: str
    found: str
    bound: str
    ok: bool


def main() -> int:
    """Runs all checks, prints the table, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rehearse", action="store_true", help="on the CPU: tests this program alone")
    parser.add_argument("--as-rank", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    count_by_bus()
    gpus, problem = visible_gpus(), _problem(rehearse=options.rehearse)
    if problem:
        print(f"gpu_check: nothing was checked: {problem}")
        return NO_GPU
    device = HOST if options.rehearse else Device(kind="gpu", threads=os.cpu_count() or 1)
    if options.as_rank:
        measure_collectives(options.as_rank, rehearse=options.rehearse)
        return 0
    torch = _torch()
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # else bounds would be 1e-2
    shown = "rehearsal on the CPU, no GPU is used" if options.rehearse else ", ".join(gpu.name for gpu in gpus)
    print(f"gpu_check: PyTorch {torch.__version__}: {shown}")
    rows = [*equality(device, options.steps), step_rate(device, options.steps), *resumed(rehearse=options.rehearse)]
    if options.rehearse or len(gpus) > 1:
        rows += collectives(rehearse=options.rehearse)
    else:
        print("gpu_check: one GPU: NCCL is not compared with MPI")
    for row in rows:
        print(f"{'met   ' if row.ok else 'MISSED'}  {row.check:<41} {row.found:<22} {row.bound}")
    if options.json:
        options.json.write_text(json.dumps({"device": shown, "rows": [asdict(row) for row in rows]}, indent=2))
    return 0 if all(row.ok for row in rows) else 1


def _torch() -> Any:
    from hpcmtl.training.torch.compat import import_torch

    return import_torch()


def _problem(*, rehearse: bool) -> str:
    """Returns why no GPU can be used; an empty text if one can, or need not."""
    from hpcmtl.training.torch.place import gpu_problem

    if rehearse:
        return ""
    if not visible_gpus():
        return "this machine has no GPU that this process may use, by NVML, nvidia-smi and CUDA_VISIBLE_DEVICES"
    return gpu_problem(0) or ""


def equality(device: Device, steps: int) -> list[Row]:
    """Compares trainings on the device with those on the CPU, for models, optimizers, and gradients in fp16."""
    rows = []
    for model in MODELS:
        for optimizer in OPTIMIZERS:
            run = partial(trained, steps, model=model, optimizer=optimizer)
            on_cpu = run_ranks(1, lambda group, run=run: run(device=HOST, group=group))[0]
            found = difference(on_cpu, run_ranks(1, lambda group, run=run: run(device=device, group=group))[0])
            rows.append(Row(f"{model} by {optimizer} as on the CPU", f"{found:.1e}", f"<= {EQUAL:.0e}", found <= EQUAL))

    def by_halves(group: Communicator) -> Arrays:
        return trained(steps, device, "convnet", "sgd", group, engine="mpi", compression="fp16")

    run_cpu = partial(trained, steps, HOST, "convnet", "sgd")
    found = difference(run_ranks(1, run_cpu)[0], run_ranks(2, by_halves)[0])
    rows.append(Row("fp16 gradients on two ranks", f"{found:.1e}", f"<= {HALVES:.0e}", found <= HALVES))
    return rows


def step_rate(device: Device, steps: int) -> Row:
    """Compares our steps with a plain loop of PyTorch, five times in turn."""
    from hpcmtl.training.torch.place import place_of

    torch, place = _torch(), place_of(device)
    batches = [batch_of(number) for number in range(steps)]

    def measure(group: Communicator) -> float:
        replica = replica_on(group, device, "convnet", "sgd")
        module = replica_on(group, device, "convnet", "sgd").learner.module  # type: ignore[attr-defined]
        optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=0.9)

        def ours() -> None:
            for number, batch in enumerate(batches):
                replica.step(batch, RATE, number)
            replica.learner.quiesce()

        def plain() -> None:
            for batch in batches:
                optimizer.zero_grad()
                inputs, target = (
                    torch.tensor(each, device=place) for each in (batch.inputs["input"], batch.targets[0])
                )
                torch.nn.functional.cross_entropy(module(inputs), target).backward()
                optimizer.step()

        ratios = [timed(plain, torch) / timed(ours, torch) for _ in range(6)]
        return statistics.median(ratios[1:])

    ratio = run_ranks(1, measure)[0]
    shown = device.kind == "cpu"  # a rehearsal, maybe beside other programs
    return Row(
        "step rate by that of a plain loop",
        f"{ratio:.2f}",
        "shown" if shown else f">= {RATIO}",
        shown or ratio >= RATIO,
    )


def resumed(*, rehearse: bool) -> list[Row]:
    """Runs a job to its end, and the same job killed at a step and resumed; compares parameters."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generator = np.random.default_rng(0)
        images, digits = generator.normal(size=(600, *IMAGE)).astype(np.float32), generator.integers(0, 10, 600)
        write_dataset_file(folder / "images.h5", {"images": images, "digit": digits}, np.arange(600) % 3)
        task = {
            "kind": "train",
            "framework": "torch",
            "device": "cpu" if rehearse else "gpu",
            "input": "d/images",
            "target": "d/digit",
            "model": MODELS["mlp"].model_dump(),
            "loss": "softmax_ce",
            "epochs": 4,
            "layers": 4,
        }
        job = {"hpcmtl": 1, "job": "check", "ranks": 1, "data": {"d": "images.h5"}, "tasks": {"digit": task}}
        (folder / "job.json.yaml").write_text(json.dumps(job))
        whole, _ = _job(folder / "whole", "run", folder / "job.json.yaml")
        fault = {"HPCMTL_FAULT": "kill:task=digit,layer=2,step=1"}
        _, first = _job(folder / "killed", "run", folder / "job.json.yaml", env=fault)
        runs = sorted((folder / "killed").glob("check-*"))
        again, last = _job(folder / "killed", "resume", *runs[:1])
    if whole is None or again is None:
        return [Row("a killed job is resumed", f"exit codes {first}, {last}", "ends with 0", ok=False)]
    found = float(max(np.abs(whole[name] - again[name]).max() for name in whole))
    return [
        Row("a killed job ends as an undisturbed one", f"{found:.1e}", f"<= {SAME:.0e}", found <= SAME and first != 0)
    ]


def _job(runs: Path, verb: str, *words: Path, env: dict[str, str] | None = None) -> tuple[Arrays | None, int]:
    """Runs a job; returns the parameters that it published, if it was completed, and the exit code."""
    options = ["--runs", str(runs)] if verb == "run" else []
    command = [sys.executable, "-m", "hpcmtl", verb, *map(str, words), *options]
    done = subprocess.run(command, env={**os.environ, **(env or {})}, capture_output=True, timeout=600, check=False)
    files = sorted(runs.glob("check-*/artifacts/digit.h5"))
    return (read_sealed(files[0])[0] if files and done.returncode == 0 else None), done.returncode


def collectives(*, rehearse: bool) -> list[Row]:
    """Trains on two GPUs by NCCL and by MPI, and compares parameters and time."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        words = [sys.executable, "-m", "mpi4py", __file__, "--as-rank", str(out), *["--rehearse"] * rehearse]
        subprocess.run([ROOT / "launchers/mpirun.sh", "-np", "2", *words], check=True, timeout=600)
        found = json.loads(out.read_text())
    fast, ratio = ("gloo" if rehearse else "nccl"), found["mpi_seconds"] / found["other_seconds"]
    return [
        Row(
            f"{fast} trains as mpi does", f"{found['difference']:.1e}", f"<= {EQUAL:.0e}", found["difference"] <= EQUAL
        ),
        Row(
            f"steps by {fast}, times as fast as by mpi",
            f"{ratio:.2f}",
            "shown" if rehearse else ">= 1",
            rehearse or ratio >= 1,
        ),
    ]


def measure_collectives(out: Path, *, rehearse: bool) -> None:
    """Runs one of two ranks; rank 0 writes what was found."""
    from hpcmtl.communicators.mpi import world as mpi_world

    world = mpi_world()
    device = HOST if rehearse else Device(kind="gpu", index=world.rank % max(len(visible_gpus()), 1))
    states, seconds = {}, {}
    for engine in ("mpi!", "gloo" if rehearse else "nccl!"):
        run = partial(trained, 20, device, "convnet", "sgd", world, engine=engine)
        run()  # the first one opens connections
        world.barrier()
        start = time.perf_counter()
        states[engine] = run()
        seconds[engine] = time.perf_counter() - start
    (one, other), (mpi, fast) = states.values(), seconds.values()
    if world.rank == 0:
        found = {"difference": difference(one, other), "mpi_seconds": mpi, "other_seconds": fast}
        out.write_text(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
