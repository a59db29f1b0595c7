"""Arrays that sessions take from the memory of other ranks, here threads: the same as from files, and recorded."""

from __future__ import annotations

from collections import defaultdict

import peer_transfer_suite
import pytest

from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.training.session import open_session

pytestmark = pytest.mark.slow

WORLD = 3
# Task -> the ranks of the world that run it: some in common, some not.
PLACES = {"digit": [0, 1], "code": [1, 2], "scores": [0, 1, 2], "copy": [0, 2], "again": [2], "report": [0, 1, 2]}


def tasks_of(task):
    """Nets that are trained on what others made: rows of two producers at once, and parameters."""
    model = {"name": "mlp", "widths": [6], "outputs": 3}
    copy = task(input="code/values", target="scores/main", loss="l2", model=model, metrics=["mse"], epochs=2)
    return {
        "digit": task(epochs=1),
        "code": {"kind": "extract", "needs": {"digit": "parameters"}, "output": "body", "batch_size": 7},
        "scores": {"kind": "predict", "needs": {"digit": "parameters"}, "batch_size": 7},
        "copy": {**copy, "needs": {"code": "data", "scores": "compute"}},
        "again": {"kind": "predict", "needs": {"copy": "parameters", "code": "data"}, "batch_size": 7},
        "report": {"kind": "evaluate", "needs": {"copy": "parameters", "code": "data", "scores": "data"}},
    }


def run_all(made, limit):
    """Run every task in two layers; return the facts and metrics of each, as its group's first rank saw them."""

    def on_rank(world):
        told = defaultdict(dict)
        with peer_transfer_suite.Serving(world, limit) as peer_transfer:
            for task, ranks in PLACES.items():
                world.barrier()
                if world.rank not in ranks:
                    continue
                owners = {need: PLACES[need][0] for need in made.prepared.job.tasks[task].needs}
                group = world.create_group(ranks, tag=0)
                context = made.context(task, group, peer_transfer=peer_transfer, owners=owners)
                session = open_session(context)
                for layer in range(made.layers):
                    outcome = session.run_layer(layer)
                    if group.rank == 0:
                        told[task].update({**outcome.facts, **outcome.metrics})
                session.close()
        return told

    return {task: facts for told in run_ranks(WORLD, on_rank) for task, facts in told.items()}


@pytest.mark.parametrize("layers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_memory_and_files_agree(bench, task, layers):
    """Parameters, rows and metrics have the same bits either way, on groups with and without ranks in common."""
    benches = [bench(tasks_of(task), layers) for _ in range(2)]
    by_memory, by_files = (run_all(made, limit) for made, limit in zip(benches, (1 << 20, 0), strict=True))

    for name in ("digit", "copy"):
        one, other = (made.parameters(name) for made in benches)
        assert all(one[key].tobytes() == other[key].tobytes() for key in one)
    for name in ("code", "scores", "again"):
        one, other = (made.artifact(name).read_bytes() for made in benches)
        assert one == other
    for name in PLACES:
        one, other = by_memory[name], by_files[name]
        ways = ("from_memory", "from_files", "transfer_seconds", "data_wait")
        assert {k: v for k, v in one.items() if k not in ways} == {k: v for k, v in other.items() if k not in ways}
        if name != "digit":
            assert one["from_memory"] > 0 == one["from_files"]
            assert other["from_files"] > 0 == other["from_memory"]


def test_what_does_not_fit_comes_from_files(bench, task):
    """With room for the parameters alone, rows are read from the sealed files, and the run goes on."""
    made = bench(tasks_of(task))
    run_all(made, 1 << 20)
    size = sum(array.nbytes for array in made.parameters("copy").values())
    told = run_all(bench(tasks_of(task)), max(size, 61 * 3 * 4) + 200)

    assert told["copy"]["from_files"] > 0


@pytest.mark.parametrize("damaged", ["digit", "code"])
def test_damage_names_the_producer(bench, task, damaged):
    """All ranks of the group raise the error that says whose artifact it is, in which file."""
    made = bench(tasks_of(task))
    for name in ("digit", "code", "scores"):
        made.run(name)
    path = made.artifact(damaged)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(bytes(content))
    consumer = {"digit": "code", "code": "copy"}[damaged]

    said = f"DamagedArtifactError: the artifact of task {damaged}, {path}, is damaged: "
    with pytest.raises(RankFailedError, match=said) as told:
        made.run(consumer, 2)
    assert told.value.__cause__.producer == damaged
