"""Files that are cut short, damaged or killed while they are written: what is read afterwards is whole."""

import errno
import json
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from events import event
from runs import run_python

from hpcmtl import faults
from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.exchange.store import DamagedFileError, read_sealed, seal
from hpcmtl.faults.request import STAGES, requested
from hpcmtl.results.ledger import Ledger, read
from hpcmtl.results.rundir.directory import RunDirectory, write_json_atomically
from hpcmtl.training.checkpointing.checkpoint import checkpoint_file, latest_checkpoint

HERE = Path(__file__).parent
STATE = {"weights": np.arange(30_000, dtype=np.float32) + 1, "bias": np.ones(3)}
# A child process for each fault, which writes two checkpoints, two results and two events.
WRITER = """
import json, os, sys
from pathlib import Path
from hpcmtl import faults
sys.path[:0] = sys.argv[2:]
from test_writing import write_all
codes = []
for number, fault in enumerate(json.loads(sys.argv[1])):
    child = os.fork()
    if child == 0:
        folder = Path(str(number)).resolve()
        folder.mkdir()
        faults.arm(faults.requested({"HPCMTL_FAULT": fault}), folder, 0)
        write_all(folder)
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(codes))
"""


def write_all(folder):
    """Write what a run writes, each thing twice."""
    with Ledger(folder / "events.jsonl") as ledger:
        for layer in (0, 1):
            seal(checkpoint(folder, layer), STATE, {"task": "digit", "step": 10 * (layer + 1)})
            write_json_atomically(folder / "results.json", {"layer": layer, "text": "x" * 20_000})
            ledger.append(event("layer_restarted", task="a", layer=layer))


def checkpoint(folder, layer):
    """Where a checkpoint lies, in a run directory that exists."""
    (folder / "checkpoints").mkdir(exist_ok=True)
    return checkpoint_file(folder / "checkpoints" / "digit", 10 * (layer + 1))


def newest(folder):
    """The step that the second layer would go on from."""

    def found(comm):
        nobody = {"record": lambda _event: None}
        return latest_checkpoint(SimpleNamespace(directory=RunDirectory(folder), task="digit", group=comm, **nobody))

    (saved,) = run_ranks(1, found)
    assert np.array_equal(saved.state["weights"], STATE["weights"])
    return saved.facts["step"]


@pytest.fixture
def armed(tmp_path):
    """Let faults happen in this process while its run directory is `tmp_path`."""

    def arm(text, attempt=1, rank=0):
        faults.arm(requested({"HPCMTL_FAULT": text}), tmp_path, rank, attempt)

    yield arm
    faults.disarm()


def test_killed_at_every_stage(tmp_path):
    """A process killed at any stage of writing leaves the old file or the new, and the newest whole one is used."""
    kinds = [f"kill:{what},nth=2,stage={stage}" for what in ("checkpoint", "results", "ledger") for stage in STAGES]
    kinds = [kind for kind in kinds if "ledger" not in kind or kind.split("=")[-1] in {"begun", "half", "done"}]
    said = run_python(tmp_path, "-c", WRITER, json.dumps(kinds), HERE, HERE.parent / "support")
    codes = json.loads(said.stdout or "[]")

    assert codes == [-signal.SIGKILL] * len(kinds), said.stderr
    for number, kind in enumerate(kinds):
        folder, stage = tmp_path / str(number), kind.split("=")[-1]
        replaced = stage in {"after-rename", "done"}
        if "checkpoint" in kind:
            assert newest(folder) == (20 if replaced else 10), kind
            assert checkpoint(folder, 1).exists() == replaced, kind
        elif "results" in kind:
            assert json.loads((folder / "results.json").read_text())["layer"] == replaced, kind
        else:
            assert [event["layer"] for event in read(folder / "events.jsonl")] == ([0, 1] if replaced else [0]), kind
            Ledger(folder / "events.jsonl").append(event("layer_restarted", task="a", layer=2))
            assert read(folder / "events.jsonl")[-1]["layer"] == 2, kind


@pytest.mark.parametrize("what", ["checkpoint", "results", "ledger"])
def test_full_disk(tmp_path, armed, what):
    """A disk that fills up in the middle of a write is an error that names the file; nothing half-written is left."""
    armed(f"full:{what},nth=2")
    with pytest.raises(OSError, match="(No space left|bytes could be written)") as full:
        write_all(tmp_path)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}

    assert full.value.errno == errno.ENOSPC
    assert {"checkpoint": "step-0000000020.h5", "results": "results.json", "ledger": "events.jsonl"}[what] in str(
        full.value
    )
    assert not [name for name in left if name.startswith(".")]
    assert newest(tmp_path) == (10 if what == "checkpoint" else 20)
    assert json.loads((tmp_path / "results.json").read_text())["layer"] == (what == "ledger")
    assert [event["layer"] for event in read(tmp_path / "events.jsonl")] == [0]


def test_a_disk_that_stays_full(tmp_path, armed):
    """With `every`, each write fails as the first did."""
    armed("full:results,every")
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            write_json_atomically(tmp_path / "results.json", {"layer": 0})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["truncate", "flip"])
def test_damaged_checkpoint(tmp_path, armed, kind):
    """A checkpoint that was cut or has a flipped bit is refused by its name, and the one before it is used."""
    armed(f"{kind}:checkpoint,task=digit,nth=2")
    write_all(tmp_path)

    with pytest.raises(DamagedFileError, match=r"step-0000000020\.h5"):
        read_sealed(checkpoint(tmp_path, 1))
    assert newest(tmp_path) == 10


def test_once_in_a_run_directory(tmp_path, armed):
    """A fault happens once, whoever comes after it and in whatever attempt; other tasks and ranks are spared."""
    fault = "raise:rank=1,task=digit,layer=2,step=3"
    hits = []
    for attempt, rank in ((1, 0), (1, 1), (2, 1)):
        armed(fault, attempt, rank)
        for task, layer, step in (("parity", 2, 3), ("digit", 2, None), ("digit", 1, 3), ("digit", 2, 3)):
            try:
                faults.step_point(task, layer, step)
            except faults.OnPurposeError as error:
                hits.append((attempt, rank, task, layer, step, str(error)))

    assert hits == [(1, 1, "digit", 2, 3, f"on purpose: {fault}")]


def test_every_rank_and_attempt(armed):
    """With `rank=all` each rank has its own, with `attempt` an attempt alone, and with `every` it never ends."""
    hits = []
    for fault in ("raise:rank=all", "raise:attempt=2", "raise:layer=0,every"):
        for attempt, rank in ((1, 0), (1, 1), (2, 0), (2, 1)):
            armed(fault, attempt, rank)
            try:
                faults.step_point("digit", 0)
            except faults.OnPurposeError:
                hits.append((fault, attempt, rank))

    assert hits == [
        ("raise:rank=all", 1, 0),
        ("raise:rank=all", 1, 1),
        ("raise:attempt=2", 2, 0),
        *(("raise:layer=0,every", attempt, rank) for attempt, rank in ((1, 0), (1, 1), (2, 0), (2, 1))),
    ]


def test_off(tmp_path):
    """Without the switch, hooks do nothing and cost next to nothing."""
    faults.step_point("digit", 0, 0)
    faults.file_point(tmp_path / "results.json", "begun")

    assert faults.partial_write(tmp_path, b"all of it") == b"all of it"
    assert list(tmp_path.iterdir()) == []


def test_a_flipped_bit_in_memory(armed):
    """The first trained parameter has one other bit, once; a layer that only begins is spared."""
    weights = {"a": np.zeros(0, np.float32), "b": np.linspace(1, 2, 6, dtype=np.float32).reshape(2, 3)}
    before = weights["b"].copy()
    armed("flip:task=digit,step=3", 1, 0)
    for step in (None, 2, 3, 3):
        faults.step_point(
            "digit", 0, step, None if step is None else lambda which: weights if which == "trained" else {}
        )
    changed = np.flatnonzero(weights["b"] != before)

    assert changed.tolist() == [0]
    assert np.isfinite(weights["b"]).all()
    assert int(weights["b"].view(np.uint32)[0, 0] ^ before.view(np.uint32)[0, 0]).bit_count() == 1
