"""`validate` makes the checks of a run before it trains, and says what it could not check."""

import re
import sys

import pytest
import yaml
from jobs import family, family_task

from hpcmtl.errors import EnvironmentUnfitError, InputError
from hpcmtl.pipeline.validation import validated
from hpcmtl.training import network_checks


def test_problems_of_all_stages_come_at_once(family_file):
    """A wrong key, a shape, a module, an option and a pattern of five tasks are told together, each with its line."""
    tiny = {"input": "digits/images", "epochs": 1}
    tasks = {
        "key": {**family_task("digit", **tiny), "epoch": 1},
        "shape": family_task("digit", **tiny, target="digits/images"),
        "module": family_task("digit", **tiny, model={"name": "no_such_module:net"}),
        "option": family_task(
            "digit", **tiny, optimizer={"name": "sgd", "learning_rate": 1.0, "options": {"momentun": 0.5}}
        ),
        "pattern": family_task("digit", **tiny, freeze=["nothing.*"]),
    }
    family_file.write_text(yaml.safe_dump(family(tasks=tasks), sort_keys=False))
    with pytest.raises(InputError) as refused:
        validated(family_file)
    places = {problem.where.removeprefix(f"{family_file}: ") for problem in refused.value.problems}

    assert places == {
        "tasks.key.epoch",
        "tasks.shape.target",
        "tasks.module.model",
        "tasks.option.optimizer",
        "tasks.pattern.freeze",
    }
    assert all(problem.line for problem in refused.value.problems)


def test_constructors_that_end_the_process_are_problems(family_file):
    """A `SystemExit` of a user's network or loss ends no check: both are told as problems of their tasks."""
    tiny = {"input": "digits/images", "epochs": 1}
    tasks = {
        "network": family_task("digit", **tiny, model={"name": "own_blocks:leaves", "outputs": 0}),
        "loss": family_task("digit", **tiny, loss="own_blocks:leaves"),
    }
    family_file.write_text(yaml.safe_dump(family(tasks=tasks), sort_keys=False))
    with pytest.raises(InputError, match="SystemExit") as refused:
        validated(family_file)
    places = {problem.where.removeprefix(f"{family_file}: ") for problem in refused.value.problems}

    assert places == {"tasks.network.model", "tasks.loss.loss"}


def test_a_sound_job_leaves_nothing_behind(family_file):
    """All of it is checked, and the folder of the job is no longer searched for modules afterwards."""
    before = list(sys.path)
    checked = validated(family_file)

    assert checked.unchecked == ()
    assert len(checked.graph.tasks) == 8
    assert sys.path == before


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"ranks": [1, 2]}, "sweep.ranks: is the same for all points"),
        ({"slurm.time": ["1h", "2h"]}, "sweep.slurm.time: is the same for all points"),
        ({"seed": []}, "is empty; write one value or more"),
    ],
)
def test_a_sweep_that_cannot_be_submitted_is_not_sound(family_file, sweep, said):
    """`validate` refuses what `submit --array` refuses."""
    job = yaml.safe_load(family_file.read_text())
    family_file.write_text(yaml.safe_dump({**job, "sweep": sweep}))

    with pytest.raises(InputError, match=re.escape(said)):
        validated(family_file, static=True)


def test_a_machine_without_the_framework(family_file, monkeypatch):
    """It checks all the rest, and says which networks it could not build and why."""

    def missing(name):
        raise EnvironmentUnfitError(f"{name} is not installed here")

    monkeypatch.setattr(network_checks, "open_framework", missing)
    (left,) = validated(family_file).unchecked
    names, _, reason = left.removeprefix("the networks of ").partition(": ")

    assert set(names.split(", ")) == set(family()["tasks"]) - {"census"}
    assert reason == "gluon is not installed here"


def test_static_validation_imports_nothing_of_users(family_file):
    """With --static a module that is not there is no problem, and the answer says what was left out."""
    tasks = {"a": {"kind": "python", "callable": "no_such_module:call"}}
    family_file.write_text(yaml.safe_dump(family(tasks=tasks), sort_keys=False))
    with pytest.raises(InputError, match="No module named 'no_such_module'"):
        validated(family_file)

    assert validated(family_file, static=True).unchecked == ("data, user code and networks (--static)",)


def test_an_input_of_unknown_shape_is_said(family_file):
    """A network on the output of a callable is built when the job runs; the answer says so."""
    tasks = {
        "make": {"kind": "python", "callable": "user_code:census", "outputs": ["x"]},
        "learn": {**family_task("digit", input="make/x", epochs=1), "needs": {"make": "data"}},
    }
    family_file.write_text(yaml.safe_dump(family(tasks=tasks), sort_keys=False))

    assert validated(family_file).unchecked == (
        "the networks of learn: the shape of its input is known only when the job runs",
    )


TINY = {"input": "digits/images", "epochs": 1}
OWN = {"model": {"name": "own_blocks:TwoParts", "outputs": 10}}


def refusal(family_file, tasks, **keys):
    """Validate tasks; return the places of the problems, and what was not checked because of them."""
    family_file.write_text(yaml.safe_dump(family(tasks=tasks, **keys), sort_keys=False))
    with pytest.raises(InputError) as refused:
        validated(family_file)
    places = [problem.where.removeprefix(f"{family_file}: tasks.") for problem in refused.value.problems]
    return sorted(places), [line for line in str(refused.value).splitlines() if line.startswith("not checked")]


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("metrics", ["r2"], "metrics"),
        ("metrics", "accuracy", "metrics"),
        ("ranks", 99, "ranks"),
        ("retries", "two", "retries"),
        ("epochs", 0, "epochs"),
        ("optimizer", {"name": "adan", "learning_rate": 0.1}, "optimizer.name"),
        ("optimizer", {"name": "sgd", "learning_rate": 0.1, "options": {"momentun": 1}}, "optimizer"),
        ("epoch", 3, "epoch"),
        ("priorty", 3, "priorty"),
    ],
)
def test_a_key_beside_the_network_hides_nothing(family_file, key, value, place):
    """Its network is still built: a pattern of the same task, and a part and an input two tasks behind, are told."""
    tasks = {
        "net": {**family_task("digit", **TINY, **OWN, freeze=["nothing.*"]), key: value},
        "part": {"kind": "extract", "needs": {"net": "parameters"}, "output": "knee", "input": "digits/images"},
        "fine": {"kind": "extract", "needs": {"net": "parameters"}, "output": "neck", "input": "digits/images"},
        "last": {**family_task("digit", epochs=1, input="fine/values"), "needs": {"fine": "data"}, "freeze": ["no.*"]},
    }
    places, left = refusal(family_file, tasks)

    assert places == sorted([f"net.{place}", "net.freeze", "part.output", "last.freeze"])
    assert left == ["not checked: the rest of part, because of these problems"]


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"loss": "hinge"}, "loss"),
        ({"target": "digits/digitt"}, "target"),
        ({"target": "digit/digit"}, "target"),
        ({"target": "digits/images", "metrics": []}, "target"),
        ({"sample_weights": "digits/images"}, "sample_weights"),
        ({"model": {"name": "own_blocks:TwoParts", "outputs": 3}}, "target"),
    ],
)
def test_what_a_network_is_trained_for_hides_no_network(family_file, keys, place):
    """A wrong target, loss or weight: the network and those behind it are checked, and nothing is told twice."""
    tasks = {
        "net": {**family_task("digit", **{**TINY, **OWN, **keys}), "freeze": ["nothing.*"]},
        "part": {"kind": "extract", "needs": {"net": "parameters"}, "output": "knee", "input": "digits/images"},
        "guess": {"kind": "evaluate", "needs": {"net": "parameters"}},
    }
    places, left = refusal(family_file, tasks)
    without = ["guess.metrics"] if keys.get("metrics") == [] else []  # then nothing is left to evaluate

    assert places == sorted([f"net.{place}", "net.freeze", "part.output", *without])
    assert len(left) == 1


def test_a_network_that_cannot_be_built_is_told_once(family_file):
    """Tasks that use it are not reported, but said not to be checked; others are checked."""
    tasks = {
        "net": family_task("digit", **TINY, model={"name": "no_such_module:net"}),
        "part": {"kind": "extract", "needs": {"net": "parameters"}, "output": "neck", "input": "digits/images"},
        "last": {**family_task("digit", epochs=1, input="part/values"), "needs": {"part": "data"}},
        "other": family_task("digit", **TINY, freeze=["nothing.*"]),
    }

    assert refusal(family_file, tasks) == (
        ["net.model", "other.freeze"],
        ["not checked: some of net, part, last, because of these problems"],
    )


def test_a_bad_key_hides_no_reference_of_another_task(family_file):
    """One task that cannot be read, one with a wrong reference and one with a wrong part, and the task between."""
    tasks = {
        "unread": {**family_task("digit", **TINY), "modell": 1},
        "lost": family_task("digit", epochs=1, input="digitss/images"),
        "net": {**family_task("digit", **TINY, **OWN), "retries": -1},
        "joint": {
            "kind": "joint",
            "needs": {"net": "parameters"},
            "input": "digits/images",
            "trunk": {"from": "net", "part": "knee"},
            "heads": {"a": {"model": {"name": "mlp", "outputs": 9}, "target": "digits/digit", "loss": "softmax_ce"}},
            "epochs": 1,
        },
    }
    places, _ = refusal(family_file, tasks)

    assert places[:4] == ["joint", "lost.input", "net.retries", "unread.modell"]


def test_data_that_cannot_be_read_blame_no_reference(family_file):
    """A number in place of a file: the tasks that read it are not called wrong."""
    tasks = {"net": family_task("digit", **TINY), "other": family_task("digit", **{**TINY, "input": "nope/x"})}
    places, left = refusal(family_file, tasks, data={"digits": 5})

    assert [place.rpartition(": ")[2] for place in places] == ["data.digits", "other.input"]
    assert left == ["not checked: some of net, other, because of these problems"]
