"""Artifacts from memory to memory, through files, and damaged on the way: it makes no difference to what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import pytest
from jobs import family

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from runs import Run, Starter

# Who gets parameters or rows of another task here, and reports by a layer how they came.
CONSUMERS = ["features", "digit", "parity", "joint", "outputs", "report", "census"]


def vandal(task: str, *, spare: bool) -> dict[str, Any]:
    """A task that damages what another task has sealed, or spares it."""
    arguments = {"task": task, "spare": spare}
    return {"kind": "python", "callable": "user_code:vandal", "arguments": arguments, "needs": [task], "ranks": 1}


def fixed_widths(memory: str | int, *, spare: bool) -> dict[str, Any]:
    """The family on three ranks, each task on exactly two, as the order of a sum depends on how many there are."""
    job = family(ranks=3, artifact_memory=memory)
    for task in job["tasks"].values():
        task["ranks"] = 2
        if "epochs" in task:
            task["epochs"] = 1
    job["tasks"]["outputs"]["ranks"] = 3
    for task, consumers in {"trunk": ["features"], "features": ["digit", "parity"]}.items():
        job["tasks"][f"on_{task}"] = vandal(task, spare=spare)
        for consumer in consumers:
            job["tasks"][consumer]["needs"][f"on_{task}"] = "order"
    return job


def published(run: Run) -> dict[str, np.ndarray]:
    """Every array of every artifact."""
    found: dict[str, np.ndarray] = {}

    def collect(path: Path) -> None:
        with h5py.File(path) as file:
            file.visititems(
                lambda name, item: found.update({f"{path.stem}/{name}": item[()]}) if hasattr(item, "shape") else None
            )

    for path in sorted((run.directory / "artifacts").iterdir()):
        collect(path)
    return found


def came(run: Run) -> dict[str, tuple[float, float]]:
    """Task -> bytes from memory and from files, over its layers."""
    ended = [event for event in run.events if event["event"] == "layer_ended" and "from_memory" in event["facts"]]
    tasks = {event["task"] for event in ended}
    return {
        task: tuple(sum(e["facts"][key] for e in ended if e["task"] == task) for key in ("from_memory", "from_files"))
        for task in tasks
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_files_and_damaged_files_give_the_same(start: Starter) -> None:
    """The family comes out the same by memory, by files, and by files that are damaged and made again."""
    by_memory = start(fixed_widths("256MiB", spare=True)).finish(200)
    by_files = start(fixed_widths(0, spare=False)).finish(200)
    runs = {"memory": by_memory, "files": by_files}
    arrays, others = published(by_memory), published(by_files)

    assert [run.returncode for run in runs.values()] == [0, 0], by_memory.said + by_files.said
    assert arrays.keys() == others.keys()
    assert [name for name in arrays if arrays[name].tobytes() != others[name].tobytes()] == []
    assert sorted(came(by_memory)) == sorted(came(by_files)) == sorted(CONSUMERS)
    for task in CONSUMERS:
        memory, files = came(by_memory)[task]
        assert memory > 0 == files, task
        memory, files = came(by_files)[task]
        assert files > 0 == memory, task
    metrics = [{name: task["metrics"] for name, task in run.results["tasks"].items()} for run in runs.values()]
    assert metrics[0] == metrics[1]
    damaged = [event for event in by_files.events if event["event"] == "artifact_damaged"]
    layers = [(event["task"], event["layer"]) for event in by_files.events if event["event"] == "layer_ended"]
    assert {(e["task"], e["consumer"]) for e in damaged} - {("features", "parity"), ("features", "digit")} == {
        ("trunk", "features")
    }
    for event in damaged:
        path = by_files.directory / "artifacts" / f"{event['task']}.h5"
        assert f"the artifact of task {event['task']}, {path}, is damaged: " in event["message"]
    for task in ("trunk", "features"):
        assert task in {event["task"] for event in damaged}
        last = max(layer for name, layer in layers if name == task)
        assert [layers.count((task, layer)) for layer in range(last + 1)] == [1] * last + [2]
