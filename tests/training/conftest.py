"""One task at a time, on ranks that are threads: what sessions do, without a dispatcher."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.exchange.store import read_sealed
from hpcmtl.jobfile.load import parse_job
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.results.rundir.directory import RunDirectory, create
from hpcmtl.training.session import SessionContext, artifact_file, checkpoints_of, open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.pipeline.prepare import Prepared
    from hpcmtl.training.session import LayerOutcome

SAMPLES = 61
IMAGES = "small/images"


@dataclass
class Bench:
    """A job whose tasks can be run one by one, each layer on as many ranks as the test likes.

    Attributes:
        prepared: the checked job.
        directory: the run directory.
        layers: that every task is cut into.
        states: newest state of each task, on each rank of `run_on_groups`.
    """

    prepared: Prepared
    directory: RunDirectory
    layers: int = 1
    states: dict[int, dict[str, Any]] = field(default_factory=dict)

    def context(self, task: str, group: Communicator, **changes: Any) -> SessionContext:
        """Returns the input of one rank."""
        given = {
            "job": self.prepared.job,
            "task": task,
            "layers": self.layers,
            "arrays": self.prepared.arrays,
            "files": self.prepared.files,
            "directory": self.directory,
            "group": group,
            "report": lambda _progress: None,
            "stop_requested": lambda: False,
        }
        return SessionContext(**{**given, **changes})

    def run(self, task: str, ranks: int = 1, layers: Sequence[int] | None = None, **changes: Any) -> list[Any]:
        """Run some layers (all by default) of a task in one session; return the outcomes of the first rank."""

        def on_rank(group: Communicator) -> list[LayerOutcome]:
            session = open_session(self.context(task, group, **changes))
            outcomes = [session.run_layer(layer) for layer in (range(self.layers) if layers is None else layers)]
            session.close()
            return outcomes

        return run_ranks(ranks, on_rank)[0]

    def run_on_groups(self, task: str, groups: Sequence[Sequence[int]]) -> list[Any]:
        """Run a layer on each group of ranks in turn, without checkpoints: ranks keep what they have of the task."""
        self.layers = len(groups)

        def on_rank(world: Communicator) -> list[LayerOutcome | None]:
            session, step = None, 0
            states: dict[str, Any] = {}
            self.states[world.rank] = states
            outcomes = []
            for layer, ranks in enumerate(groups):
                outcome = None
                if world.rank in ranks:
                    group = world.create_group(ranks, tag=0)
                    if all(group.allgather(session is not None)):
                        session.rebinder()(group, step)
                    else:
                        context = self.context(task, group, step=step, states=states)
                        session = open_session(context)
                    outcome = session.run_layer(layer)
                    session.close()
                    if group.rank == 0:
                        self.checkpoints(task)[-1].unlink()
                outcomes.append(outcome)
                step += world.bcast(outcome.steps if outcome else 0, root=ranks[0])
            return outcomes

        return run_ranks(1 + max(rank for ranks in groups for rank in ranks), on_rank)

    def run_by_layers(self, task: str, widths: Sequence[int]) -> list[Any]:
        """Run the layers of a task, each in a session of its own on so many ranks."""
        self.layers = len(widths)
        return [self.run(task, ranks, [layer])[0] for layer, ranks in enumerate(widths)]

    def artifact(self, task: str) -> Path:
        """The file that a task publishes."""
        return artifact_file(self.directory, task)

    def parameters(self, task: str) -> dict[str, np.ndarray]:
        """Returns the arrays that a training task publishes."""
        return read_sealed(self.artifact(task))[0]

    def checkpoints(self, task: str) -> list[Path]:
        """The checkpoints that are there, oldest first."""
        return sorted(checkpoints_of(self.directory, task).glob("step-*.h5"))


@pytest.fixture(scope="session")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """61 images of 1 x 6 x 6 whose classes can be learned: 40 train, 8 val, 13 test."""
    generator = np.random.default_rng(1)
    classes = np.arange(SAMPLES) % 3
    images = generator.normal(scale=0.5, size=(SAMPLES, 1, 6, 6)).astype(np.float32)
    for number in range(3):
        images[classes == number, 0, 2 * number : 2 * number + 2] += 1
    split = np.where(np.arange(SAMPLES) < 40, 0, np.where(np.arange(SAMPLES) < 48, 1, 2))
    arrays = {
        "images": images,
        "digit": classes,
        "odd": classes % 2,
        "size": images.mean(axis=(1, 2, 3)) + 2,
        "weight": generator.uniform(0.5, 1.5, SAMPLES).astype(np.float32),
    }
    path = tmp_path_factory.mktemp("small") / "small.h5"
    write_dataset_file(path, arrays, split, {"digit": {"classes": ["a", "b", "c"]}, "odd": {"classes": ["no", "yes"]}})
    return path


@pytest.fixture(scope="session")
def bench(small_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Bench]:
    """Make a bench for the given tasks; one that is made again starts afresh."""
    runs = tmp_path_factory.mktemp("runs")

    def make(tasks: dict[str, Any], layers: int = 1, **keys: Any) -> Bench:
        defaults = {"batch_size": 9, "optimizer": {"name": "adam", "learning_rate": 0.01}, "engine": "kvstore"}
        raw = {"hpcmtl": 1, "job": "bench", "seed": 5, "ranks": 3, "data": {"small": str(small_file)}}
        job = parse_job({**raw, "defaults": defaults, "tasks": tasks, **keys})
        return Bench(prepare(job), create(runs, "bench"), layers)

    return make


def train_task(**changes: Any) -> dict[str, Any]:
    """A task that learns the classes: five steps an epoch, the last of them with four samples."""
    return {
        "kind": "train",
        "model": {"name": "convnet", "channels": [4], "widths": [8], "outputs": 3},
        "input": IMAGES,
        "target": "small/digit",
        "loss": "softmax_ce",
        "metrics": ["accuracy"],
        "epochs": 4,
        **changes,
    }


@pytest.fixture(scope="session")
def task() -> Callable[..., dict[str, Any]]:
    """Make the description of a training task, with changes."""
    return train_task
