"""Two nodes with two ranks and one: samples in memory, and streamed from copies, train to the same bits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import h5py
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from runs import Run, Starter

NODES = """
import os

node = int(os.environ.get("OMPI_COMM_WORLD_RANK", 0)) % 2
os.environ["HPCMTL_NODE_ID"] = f"n{{node}}"
os.environ["TMPDIR"] = {folder!r} + f"/scratch{{node}}"
"""


def two_nodes(folder: Path) -> dict[str, str]:
    """Return an environment in which ranks 0 and 2 are on one node and 1 on another, each with its own disk."""
    start_up = folder / "start_up" / "sitecustomize.py"  # imported by Python before anything else
    for name in ("start_up", "scratch0", "scratch1"):
        (folder / name).mkdir()
    start_up.write_text(NODES.format(folder=str(folder)), encoding="utf-8")
    return {"PYTHONPATH": str(start_up.parent)}


def job(**changes: Any) -> dict[str, Any]:
    """Return a job of one task on three ranks."""
    model = {"name": "mlp", "widths": [16], "outputs": 10}
    net = {"kind": "train", "model": model, "input": "digits/images", "target": "digits/digit", "loss": "softmax_ce"}
    task = {**net, "epochs": 4, "layers": 2, "ranks": 3}
    data = {"digits": "digits.h5"}
    return {"hpcmtl": 1, "job": "nodes", "ranks": 3, "data": data, "tasks": {"net": task}, **changes}


def weights(run: Run) -> dict[str, bytes]:
    """Return the bytes of the final parameters."""
    assert run.returncode == 0, run.said
    with h5py.File(run.directory / "artifacts" / "net.h5") as file:
        found: dict[str, bytes] = {}
        file.visititems(lambda name, item: found.update({name: item[()].tobytes()}) if hasattr(item, "shape") else None)
    return found


@pytest.mark.slow
def test_samples_in_memory_on_disk_and_in_copies_give_the_same(start: Starter, tmp_path: Path) -> None:
    """Each node copies the file once, nothing stays of the copies, and the weights are those of shared memory."""
    env = two_nodes(tmp_path)
    shared = start(job(), env=env).finish(120)
    streamed = start(job(data_memory=0, stage="scratch"), env=env).finish(120)
    copied = [re.findall(r"digits\.h5 is copied to (\S+): \d+ MiB", streamed.log(rank)) for rank in range(3)]
    folders = sorted(path.split("/hpcmtl.data.")[0] for paths in copied for path in paths)

    assert weights(shared) == weights(streamed)
    assert folders == [str(tmp_path / "scratch0"), str(tmp_path / "scratch1")]
    assert [path.name for folder in folders for path in tmp_path.joinpath(folder).glob("hpcmtl.data.*")] == []
