"""Checks kinds of user networks on 1, 2 and 3 ranks: one step with plain Gluon's, final weights with those of one rank.

    python benchmarks/networks.py [--ranks 1,2,3] [--only KIND ...] [--write] [--json FILE]

For each number of ranks the networks are tasks of one job. A second job has those that run without oneDNN. `--write`
writes the table to docs/networks_checked.md. Exit code 1 if a difference is above its bound and is not a known one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from network_kinds import BATCH, EPOCHS, KINDS, ROWS, SEED, job_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/networks_checked.md"
BOUND = 1e-4
"""Bound on the relative differences: single precision, and sums in another order over up to twelve steps."""


def write_data(path: Path) -> Arrays:
    """Writes the samples, all of which are for training, and returns them."""
    from hpcmtl.data.hdf5 import write_dataset_file

    generator = np.random.default_rng(1)
    arrays: Arrays = {
        "images": generator.normal(size=(ROWS, 1, 6, 6)).astype(np.float32),
        "words": generator.integers(0, 20, (ROWS, 8)),
        "classes": generator.integers(0, 3, ROWS),
        "numbers": generator.normal(size=(ROWS, 3)).astype(np.float32),
    }
    write_dataset_file(path, arrays, np.zeros(ROWS, int), {"classes": {"classes": ["a", "b", "c"]}})
    return arrays


def learner_of(job: Any, task: str, arrays: Arrays) -> tuple[Any, Any]:
    """Returns a learner with the initial parameters of a task, and all samples as one batch."""
    from hpcmtl.jobfile.kinds import kind_of
    from hpcmtl.training.frameworks import open_framework
    from hpcmtl.training.learner_settings import settings_of
    from hpcmtl.training.step_input import StepInput

    kind, described = kind_of(job, task), job.tasks[task]
    samples = arrays[described.input.split("/")[1]]
    objectives = kind.objectives(job, task)
    seed = zlib.crc32(f"{SEED}/{task}/initial parameters".encode()) & 0x7FFFFFFF  # as `SessionContext.seed`
    settings = settings_of(described, seed)
    learner = open_framework("gluon").learner(
        kind.network(job, task), {"input": samples.shape[1:]}, objectives, settings
    )
    targets = tuple(arrays[each.target.split("/")[1]] for each in objectives)
    return learner, StepInput({"input": samples}, targets, np.ones(ROWS, np.float32), ROWS)


def plain_step(job: Any, task: str, arrays: Arrays, done: Mapping[str, Arrays]) -> tuple[Arrays, Arrays]:
    """Returns the parameters of a task at its start, and after one step of plain Gluon on all samples.

    Args:
        job: the job.
        task: name of the task.
        arrays: samples and targets by name.
        done: task -> its parameters after its step, for tasks that take them.
    """
    from hpcmtl.exchange.store import PARAMETERS
    from hpcmtl.jobfile.kinds import kind_of
    from hpcmtl.training.gluon.compat import import_mxnet
    from hpcmtl.training.gluon.losses import make_loss
    from hpcmtl.training.gluon.optimizer import make_optimizer

    mx = import_mxnet()
    learner, batch = learner_of(job, task, arrays)
    block, objectives = learner.block, kind_of(job, task).objectives(job, task)
    block.hybridize(active=False)
    for mapping in kind_of(job, task).parameter_mappings(job, task):
        learner.load_mapped({PARAMETERS + name: each for name, each in done[mapping.producer].items()}, mapping)
    before = {name: each.data().asnumpy() for name, each in learner.parameters.items()}
    trainer = mx.gluon.Trainer(block.collect_params(), make_optimizer(job.tasks[task].optimizer), kvstore=None)
    mx.random.seed(5)
    with mx.autograd.record():
        made = block(mx.nd.array(batch.inputs["input"]))
        outputs = made if isinstance(made, list | tuple) else [made]
        losses = [
            each.weight * make_loss(each.loss)(output, mx.nd.array(target)).mean()
            for each, output, target in zip(objectives, outputs, batch.targets, strict=True)
        ]
        total = sum(losses[1:], losses[0])
    total.backward()
    trainer.step(1)
    return before, {name: each.data().asnumpy() for name, each in learner.parameters.items()}


def step_difference(found: Arrays, before: Arrays, after: Arrays) -> float:
    """Returns the largest difference of a parameter's change, relative to it; of small ones to the largest of all."""
    sizes = {name: np.abs(after[name] - before[name]).max() for name in before}
    least = 0.01 * np.max([*sizes.values()])
    differences = [np.abs(found[name] - after[name]).max() / np.maximum(sizes[name], least) for name in before]
    return float(np.max(differences))  # NaN if one is: Python's max would drop it


def difference(one: Arrays, other: Arrays) -> float:
    """Returns the largest difference of a parameter, relative to its largest number."""
    return float(np.max([np.abs(one[n] - other[n]).max() / np.maximum(np.abs(one[n]).max(), 0.01) for n in one]))


def main() -> int:
    """Runs all jobs, and prints or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", default="1,2,3")
    parser.add_argument("--only", nargs="*", default=list(KINDS), metavar="KIND")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plain", nargs=3, metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    if options.plain:
        return write_plain(*options.plain)
    widths = [int(each) for each in options.ranks.split(",")]
    rows: dict[str, dict[str, Any]] = {}
    for python in (False, True):
        keys = [key for key in options.only if KINDS[key].python is python]
        if keys:
            rows |= measure(keys, widths)
    text = table({key: rows[key] for key in options.only}, widths)
    print(text)
    if options.write:
        PAGE.write_text(HEAD + text + TAIL, encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))
    return 1 if any(wrong(key, row) for key, row in rows.items()) else 0


def measure(keys: Sequence[str], widths: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Runs some kinds on each number of ranks, and compares."""
    import yaml

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder / "d.h5")
        for ranks in widths:
            (folder / f"{ranks}.yaml").write_text(yaml.safe_dump(job_of(keys, ranks, folder / "d.h5"), sort_keys=False))
        plain_file = folder / "plain.npz"
        words = [sys.executable, __file__, "--plain", str(folder / f"{widths[0]}.yaml"), str(folder / "d.h5")]
        subprocess.run([*words, str(plain_file)], check=True, timeout=600)
        plain = dict(np.load(plain_file))
        ends = {ranks: run(folder, ranks, keys) for ranks in widths}
    rows: dict[str, dict[str, Any]] = {}
    for key in keys:
        before, after = (_under(f"{when}/{key}/", plain) for when in ("before", "after"))
        steps = {ranks: step_difference(_under(f"{key}-1/", end), before, after) for ranks, end in ends.items()}
        first = _under(f"{key}-n/", ends[widths[0]])
        finals = {ranks: difference(first, _under(f"{key}-n/", end)) for ranks, end in ends.items()}
        rows[key] = {"steps": steps, "finals": finals}
    return rows


def run(folder: Path, ranks: int, keys: Sequence[str]) -> Arrays:
    """Runs the job of all kinds on some ranks; returns the parameters by task and name."""
    from hpcmtl.exchange.store import PARAMETERS, read_sealed

    words = [sys.executable, "-m", "hpcmtl", "run", f"{ranks}.yaml", "--runs", f"runs{ranks}"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=1200)
    if done.returncode:
        raise SystemExit(f"the job on {ranks} ranks failed:\n{done.stderr}\n{done.stdout}")
    (directory,) = (folder / f"runs{ranks}").iterdir()
    found: Arrays = {}
    for task in (f"{key}-{length}" for key in keys for length in "1n"):
        arrays, _ = read_sealed(directory / "artifacts" / f"{task}.h5")
        found |= {f"{task}/{name.removeprefix(PARAMETERS)}": each for name, each in arrays.items()}
    return found


def write_plain(job_file: str, data: str, out: str) -> int:
    """Computes the steps of plain Gluon, in a process of its own, since a job may run without oneDNN."""
    import h5py

    from hpcmtl.pipeline.prepare import prepare
    from hpcmtl.pipeline.run.framework_environment import prepare_environment

    prepared = prepare(Path(job_file))
    prepare_environment(prepared)
    with h5py.File(data) as file:
        arrays = {name: np.asarray(file[f"{name}"]) for name in ("images", "words", "classes", "numbers")}
    found: Arrays = {}
    done: dict[str, Arrays] = {}
    for task in prepared.job.tasks:
        key, _, length = task.rpartition("-")
        if length == "1":
            before, done[task] = plain_step(prepared.job, task, arrays, done)
            for when, values in (("before", before), ("after", done[task])):
                found |= {f"{when}/{key}/{name}": each for name, each in values.items()}
    np.savez(out, **found)  # type: ignore[arg-type]
    return 0


def _under(prefix: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(prefix): each for name, each in arrays.items() if name.startswith(prefix)}


def wrong(key: str, row: Mapping[str, Any]) -> bool:
    """Returns whether a kind differs that must not."""
    return not KINDS[key].differs and any(not each <= BOUND for column in row.values() for each in column.values())


def table(rows: Mapping[str, Mapping[str, Any]], widths: Sequence[int]) -> str:
    """Returns the table in Markdown."""
    steps = [f"step, {ranks} rank{'s' * (ranks > 1)}" for ranks in widths]
    finals = [f"final, {ranks} ranks" for ranks in widths[1:]]
    lines = [["kind", *steps, *finals, "remark"], ["---"] * (2 + len(steps) + len(finals))]
    for key, row in rows.items():
        numbers = [row["steps"][ranks] for ranks in widths] + [row["finals"][ranks] for ranks in widths[1:]]
        remark = "**wrong**" if wrong(key, row) else KINDS[key].differs or KINDS[key].remark
        lines.append([KINDS[key].title, *(f"{each:.1e}" if each else "0" for each in numbers), remark])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


HEAD = f"""# Gluon networks that were checked
Written by `python benchmarks/networks.py --write`; do not edit. Each row is a network as a user writes it
(`benchmarks/user_networks.py`), trained by `hpcmtl run` on 1, 2 and 3 ranks with Horovod.

- *step*: one step on {ROWS} samples, compared with the same step by plain Gluon (not compiled) and `gluon.Trainer` in
  one process: the largest difference of a parameter's change, relative to the largest change of this parameter (or to
  a hundredth of the largest change of all, if that is more).
- *final*: the weights after {EPOCHS} epochs of batches of {BATCH}, {BATCH} and {ROWS - 2 * BATCH} samples, compared
  with those of one rank: the largest difference of a parameter, relative to its largest number.

Differences come from the order of sums in single precision. A remark says why a kind differs by more.

"""
TAIL = """
What stays different: **batch norm** normalises with the mean and the variance of the rows that one rank has, as with
Horovod or with PyTorch without `SyncBatchNorm`. **Dropout**, and other operators that draw random numbers, draw on each
rank for its own rows: another number of ranks, or another order of the samples, gives other masks. What is compared
before each task begins is described in [own networks](guides/own_networks.md).
"""


if __name__ == "__main__":
    sys.exit(main())
