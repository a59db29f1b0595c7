"""Compares final weights on 2, 3 and 4 ranks with those of one rank, for all that an update can contain.

    python benchmarks/exactness.py [--ranks 2,3,4] [--write] [--json FILE]

Each case is a task of one job for each number of ranks, in each framework that has it. 13 samples in batches of 5, 5
and 3, six epochs: on 4 ranks some get one row or none. `--write` writes the table to docs/exactness.md. Exit code 1 if
a difference is above the bound of its case.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/exactness.md"
ROWS, BATCH, EPOCHS = 13, 5, 6
BOTH = ("gluon", "torch")
MLP = {"name": "mlp", "widths": [16], "outputs": 3, "activation": "tanh"}
NORMALISED = {"torch": {"name": "user_modules:normalised"}, "gluon": {"name": "user_modules:normalised_gluon"}}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kind of update.

    Attributes:
        optimizer: optimizer of the task.
        keys: further keys of the task.
        models: model in each framework, where it is not `MLP`.
        frameworks: names of the frameworks that have it.
        bound: largest relative difference that passes.
    """

    optimizer: Mapping[str, Any]
    keys: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    frameworks: tuple[str, ...] = BOTH
    bound: float = 1e-5


SGD = {"name": "sgd", "learning_rate": 0.1}
MOMENTUM = {**SGD, "options": {"momentum": 0.9}}
ADAM = {"name": "adam", "learning_rate": 0.01}
CASES = {
    "SGD with momentum": Case(optimizer=MOMENTUM),
    "Adam": Case(optimizer=ADAM),
    "AdamW": Case(optimizer={"name": "adamw", "learning_rate": 0.01, "weight_decay": 0.05}, frameworks=("torch",)),
    "weight decay": Case(optimizer={**MOMENTUM, "weight_decay": 0.05}),
    "clipping by norm": Case(optimizer={**MOMENTUM, "clip_norm": 0.2}),
    "micro-batches": Case(optimizer=MOMENTUM, keys={"accumulate": 3}),
    "parameter groups": Case(
        optimizer={**MOMENTUM, "groups": {"*.bias": {"weight_decay": 0.0}, "output.*": {**ADAM, "options": {}}}}
    ),
    "frozen layers": Case(optimizer=ADAM, keys={"freeze": ["body.*"]}),
    "batch norm over the group": Case(optimizer=MOMENTUM, keys={"sync_batchnorm": True}, models=NORMALISED, bound=1e-4),
    "bf16": Case(optimizer=MOMENTUM, keys={"precision": "bf16"}, frameworks=("torch",), bound=3e-2),
    "fp16": Case(optimizer=MOMENTUM, keys={"precision": "fp16"}, frameworks=("torch",), bound=5e-3),
}


def job_of(ranks: int) -> dict[str, Any]:
    """Returns a job with all cases on so many ranks each."""
    shared = {"kind": "train", "input": "d/images", "target": "d/classes", "loss": "softmax_ce", "validate_every": 0}
    tasks = {
        name_of(case, framework): {
            **shared,
            "model": each.models.get(framework, MLP),
            "framework": framework,
            "engine": "horovod" if framework == "gluon" else "mpi",
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "ranks": ranks,
            "optimizer": dict(each.optimizer),
            **each.keys,
        }
        for case, each in CASES.items()
        for framework in each.frameworks
    }
    modules = [str(Path(__file__).parent)]
    return {"hpcmtl": 1, "job": "exactness", "seed": 5, "data": {"d": "d.h5"}, "modules": modules, "tasks": tasks}


def name_of(case: str, framework: str) -> str:
    """Returns the name of the task of a case."""
    return f"{case.lower().replace(' ', '_').replace('-', '_')}_{framework}"


def run(folder: Path, ranks: int) -> dict[str, Arrays]:
    """Runs the job on so many ranks; returns the parameters of each task."""
    from hpcmtl.data.hdf5 import write_dataset_file
    from hpcmtl.exchange.store import PARAMETERS, read_sealed

    generator = np.random.default_rng(1)
    images = generator.normal(size=(ROWS, 1, 6, 6)).astype(np.float32)
    arrays = {"images": images, "classes": generator.integers(0, 3, ROWS)}
    write_dataset_file(folder / "d.h5", arrays, np.zeros(ROWS, int), overwrite=True)
    (folder / "job.yaml").write_text(json.dumps(job_of(ranks)))
    words = [sys.executable, "-m", "hpcmtl", "run", "job.yaml", "--ranks", str(ranks), "--runs", f"runs{ranks}"]
    subprocess.run(words, cwd=folder, check=True, timeout=900, capture_output=True)
    (directory,) = (folder / f"runs{ranks}").glob("exactness-*")
    found = {}
    for case, each in CASES.items():
        for framework in each.frameworks:
            name = name_of(case, framework)
            state = read_sealed(directory / "artifacts" / f"{name}.h5")[0]
            found[name] = {key: array for key, array in state.items() if key.startswith(PARAMETERS)}
    return found


def difference(one: Arrays, other: Arrays) -> float:
    """Returns the largest difference of an array, relative to its largest number."""
    return max(
        float(np.abs(one[name] - other[name]).max() / max(np.abs(one[name]).max(), 1e-12))
        for name in one
        if one[name].dtype == np.float32
    )


def reordered(seeds: int = 12) -> list[float]:
    """Returns what the order of rows changes without hpcmtl: plain PyTorch, one process, rows of each batch permuted.

    The network is the one with batch normalisation, whose steps enlarge what rounding leaves.
    """
    import user_modules

    from hpcmtl.training.torch.compat import import_torch

    torch, generator = import_torch(), np.random.default_rng(1)
    images = torch.tensor(generator.normal(size=(ROWS, 1, 6, 6)).astype(np.float32))
    classes = torch.tensor(generator.integers(0, 3, ROWS))

    def trained(seed: int, *, permuted: bool) -> Arrays:
        torch.manual_seed(seed)
        network, order, other = user_modules.normalised(), np.random.default_rng(seed), np.random.default_rng(9)
        optimizer = torch.optim.SGD(network.parameters(), lr=MOMENTUM["learning_rate"], **MOMENTUM["options"])
        for _ in range(EPOCHS):
            whole = order.permutation(ROWS)
            for batch in (whole[start : start + BATCH] for start in range(0, ROWS, BATCH)):
                rows = other.permutation(batch) if permuted else batch
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(network(images[rows]), classes[rows]).backward()
                optimizer.step()
        return {name: each.numpy() for name, each in network.state_dict().items()}

    return [difference(trained(seed, permuted=False), trained(seed, permuted=True)) for seed in range(seeds)]


def table(rows: Mapping[str, Mapping[int, float]], widths: Sequence[int], plain: Sequence[float]) -> str:
    """Returns the page."""
    head = [f"{framework}, {ranks} ranks" for framework in BOTH for ranks in widths]
    lines = [
        "# Exactness over ranks",
        "Written by `python benchmarks/exactness.py --write`; do not edit. Final weights of a task on several ranks,",
        f"compared with those of one rank: {ROWS} samples in batches of 5, 5 and 3, {EPOCHS} epochs.",
        "A number is the largest difference of a parameter, relative to its largest number. Gluon's gradients travel",
        "by Horovod, PyTorch's by MPI. Differences come from the order of sums in single precision; with bf16 and",
        "fp16, in that precision. See [the guide](guides/number_of_ranks.md). Errors that were silent once,",
        "and the tests that see them now, are in a [list of their own](silent_errors.md).",
        "",
        f"| | {' | '.join(head)} | bound |",
        "|---" * (len(head) + 2) + "|",
    ]
    for case, each in CASES.items():
        cells = [
            f"{rows[name_of(case, framework)][ranks]:.1e}" if framework in each.frameworks else "-"
            for framework in BOTH
            for ranks in widths
        ]
        lines.append(f"| {case} | {' | '.join(cells)} | {each.bound:.0e} |")
    lines += [
        "",
        "Steps with batch normalisation of few rows enlarge rounding. Plain PyTorch in one process, with the rows of",
        f"each batch in another order, differs by {min(plain):.1e} to {max(plain):.1e} on this network.",
    ]
    return "\n".join([*lines, ""])


def main() -> int:
    """Measures, prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", default="2,3,4")
    parser.add_argument("--write", action="store_true", help="writes docs/exactness.md")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    widths = [int(ranks) for ranks in options.ranks.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        weights = {ranks: run(Path(folder), ranks) for ranks in (1, *widths)}
    rows = {
        name: {ranks: difference(one, weights[ranks][name]) for ranks in widths} for name, one in weights[1].items()
    }
    page = table(rows, widths, reordered())
    print(page)
    if options.write:
        PAGE.write_text(page, encoding="utf-8")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    above = [
        name_of(case, framework)
        for case, each in CASES.items()
        for framework in each.frameworks
        if max(rows[name_of(case, framework)].values()) > each.bound
    ]
    print(f"above their bounds: {', '.join(above)}" if above else "all within their bounds")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
