"""The parts that a job names are built once before it runs, and all that cannot be used are reported at once."""

from __future__ import annotations

from hpcmtl.training.network_checks import check_networks


def problems(bench, tasks, **keys):
    """Returns the messages on the tasks of a job, as text."""
    prepared = bench(tasks, **keys).prepared
    found = check_networks(prepared.job, prepared.arrays, list(tasks)).found
    return [f"{'.'.join(path)}: {text}" for path, text in found]


def test_a_sound_job_has_no_problems(bench, task):
    """Networks of the zoo and of users, losses, optimizers and parts that are there."""
    tasks = {
        "digit": task(freeze=["body.*"]),
        "own": task(
            model={"name": "own_blocks:TwoParts", "outputs": 1},
            loss="own_blocks:Cubic",
            target="small/size",
            metrics=["mse"],
            optimizer={"name": "own_blocks:Halving", "learning_rate": 0.1},
        ),
        "code": {"kind": "extract", "needs": {"own": "parameters"}, "output": "neck"},
    }

    assert problems(bench, tasks) == []


def test_all_problems_are_found_at_once(bench, task):
    """Each with the name of its task."""
    tasks = {
        "a": task(model={"name": "own_blocks:missing"}),
        "b": task(model={"name": "own_blocks:TwoParts", "depth": 3}),
        "c": task(loss="own_blocks:not_a_block"),
        "d": task(optimizer={"name": "sgd", "learning_rate": 0.1, "options": {"momentun": 0.9}}),
        "e": task(freeze=["boddy.*"]),
        "f": task(model={"name": "own_blocks:TwoParts"}),
        "g": {"kind": "extract", "needs": {"f": "parameters"}, "output": "knee"},
    }
    found = problems(bench, tasks)

    keys = ["a.model", "b.model", "c.loss", "d.optimizer", "e.freeze", "g.output"]
    assert [text.partition(":")[0] for text in found] == [f"tasks.{key}" for key in keys]
    expected = ["cannot be imported", "depth", "not a Gluon loss", "momentun", "boddy", "knee"]
    assert all(word in text for word, text in zip(expected, found, strict=True))


def test_networks_that_cannot_exchange_parameters(bench, task):
    """An async edge that renews nothing, and members that do not share what they merge, are found before training."""
    live = {"kind": "parameters", "mode": "async"}
    tasks = {
        "a": task(),
        "b": task(model={"name": "convnet", "channels": [5], "widths": [8], "outputs": 3}),
        "fine": task(needs={"a": live}, freeze=["body.*"]),
        "vain": task(needs={"a": live}, freeze=["body.*"], initialise={"a": "output.*"}),
    }
    merge = {"shapes": {"tasks": ["b", "vain"], "parameters": "body.*"}}
    found = problems(bench, tasks, merge=merge)

    assert len(found) == 2
    assert "tasks.vain.freeze: `freeze` matches nothing that is taken from a" in found[0]
    assert "merge.shapes.parameters: b has body." in found[1]
