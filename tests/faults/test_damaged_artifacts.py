"""A damaged artifact is found when it is read, made again, and then used: the run ends as if nothing had happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jobs import family, family_task

if TYPE_CHECKING:
    from runs import Starter


def vandal(task: str) -> dict[str, Any]:
    """A task that damages another task's artifact."""
    return {"kind": "python", "callable": "user_code:vandal", "arguments": {"task": task}, "needs": [task], "ranks": 1}


@pytest.mark.slow
def test_a_damaged_artifact_is_made_again(start: Starter) -> None:
    """Parameters and rows that were changed on disc cost the last layer of their task, once, and the ledger says so."""
    tasks = {
        "trunk": family_task("trunk", epochs=1, ranks=2),
        "on_trunk": vandal("trunk"),
        "features": {
            "kind": "extract",
            "needs": {"trunk": "parameters", "on_trunk": "order"},
            "output": "encoder",
            "layers": 2,
        },
        "on_features": vandal("features"),
        "digit": {
            **family_task("digit", epochs=1, ranks=2),
            "needs": {"features": "data", "on_features": "order"},
        },
    }
    run = start(family(ranks=2, artifact_memory=0, tasks=tasks)).finish(200)
    damaged = [event for event in run.events if event["event"] == "artifact_damaged"]
    layers = [(event["task"], event["layer"]) for event in run.events if event["event"] == "layer_ended"]

    assert run.returncode == 0, run.said
    assert [(event["task"], event["consumer"]) for event in damaged] == [("trunk", "features"), ("features", "digit")]
    for event in damaged:
        path = run.directory / "artifacts" / f"{event['task']}.h5"
        assert f"the artifact of task {event['task']}, {path}, is damaged: " in event["message"]
        assert "its last layer runs again" in run.stderr
    last = max(layer for task, layer in layers if task == "trunk")
    assert layers.count(("trunk", last)) == layers.count(("features", 1)) == 2
    assert layers.count(("features", 0)) == 1
    assert {task["status"] for task in run.results["tasks"].values()} == {"complete"}
