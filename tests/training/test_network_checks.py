"""Faults that only a built network shows are refused before training, by the check that `validate` and `run` share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import parse_job
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.pipeline.run.preflight import examine
from hpcmtl.training.frameworks import open_framework

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, classes, numbers and several labels a sample; nothing is in the test split."""
    random = np.random.default_rng(0)
    arrays = {
        "images": random.normal(size=(ROWS, 1, 6, 6)).astype(np.float32),
        "digit": np.arange(ROWS) % 3,
        "even": np.arange(ROWS) % 2,
        "size": random.normal(size=ROWS).astype(np.float32),
        "labels": random.integers(0, 2, (ROWS, 4)).astype(np.float32),
    }
    path = tmp_path_factory.mktemp("checks") / "small.h5"
    write_dataset_file(path, arrays, np.where(np.arange(ROWS) < 30, 0, 1), {"digit": {"classes": ["a", "b", "c"]}})
    return path


@pytest.fixture
def refusals(data: Path) -> Callable[..., list[str]]:
    """Returns what is said of the tasks of a job before it runs, file names left out."""

    def check(tasks: dict[str, Any], **keys: Any) -> list[str]:
        raw = {"hpcmtl": 1, "job": "checks", "ranks": 2, "data": {"small": str(data)}, "tasks": tasks, **keys}
        try:
            prepared = prepare(parse_job(raw))
        except InputError as error:
            found = error.problems
        else:
            found = examine(prepared, list(tasks)).problems
        return [str(problem).removeprefix("job: ") for problem in found]

    return check


def task(**changes: Any) -> dict[str, Any]:
    """A task that can be trained."""
    return {
        "kind": "train",
        "model": {"name": "convnet", "channels": [4], "widths": [8], "outputs": 3},
        "input": "small/images",
        "target": "small/digit",
        "loss": "softmax_ce",
        "metrics": ["accuracy"],
        "epochs": 1,
        **changes,
    }


def labels(**changes: Any) -> dict[str, Any]:
    """A task with four labels a sample."""
    return task(**{"target": "small/labels", "loss": "sigmoid_bce", "model": MLP, **changes})


def own(name: str, arguments: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """The same with a network of the user's."""
    return task(model={"name": f"own_blocks:{name}", **(arguments or {})}, **changes)


PAIR = {"a": task(), "b": task(needs={"a": "parameters"})}
MLP = {"name": "mlp", "outputs": 4}
REDUCED = {"kind": "map_reduce", "input": "small/images", "map": "math:atan2", "reduce": "math:atan2"}


@pytest.mark.parametrize(
    ("tasks", "where", "words"),
    [
        ({"a": own("InAList")}, "tasks.a.model", "layers is a list of blocks"),
        ({"a": own("Nested")}, "tasks.a.model", "Nested._layers is a list of blocks"),
        ({"a": own("Shaped")}, "tasks.a.model", "not when it is hybridised"),
        ({"a": own("leaves")}, "tasks.a.model", "SystemExit: 3"),
        ({"a": own("Leaving")}, "tasks.a.model", "SystemExit: 3"),
        ({"a": task(loss="own_blocks:leaves")}, "tasks.a.loss", "SystemExit: 3"),
        ({"a": task(optimizer={"name": "own_blocks:exits", "learning_rate": 0.1})}, "tasks.a.optimizer", "SystemExit"),
        (
            {
                "a": own("TwoParts"),
                "e": {"kind": "predict", "needs": {"a": "parameters"}, "input": "small/labels"},
            },
            "tasks.e.input",
            "neck.weight has shape (4, 36), here (4, 4)",
        ),
        ({"a": own("halved")}, "tasks.a.model", "not float32"),
        ({"a": own("Branched")}, "tasks.a.model", "does not reach other.weight"),
        ({"a": own("TwoOutputs")}, "tasks.a", "2 outputs"),
        ({"a": own("OneRow")}, "tasks.a.model", "first axis must count the samples"),
        ({"a": own("narrow")}, "tasks.a.model", "cannot run on samples of shape (1, 6, 6)"),
        ({"a": own("kept")}, "tasks.a.model", "make new blocks at each call"),
        ({"a": own("SparseProduct", {"values": "row_sparse"})}, "tasks.a.model", "weight (row_sparse) are sparse"),
        (
            {"a": own("tied", {"by": "no"}), "b": own("tied", needs={"a": "parameters"})},
            "tasks.b.needs.a",
            "2.bias and 3.bias are one parameter of this network (tied weights), but 2.bias and 3.bias are several",
        ),
        ({"a": own("TwoParts", {"depth": 3})}, "tasks.a.model", "unexpected keyword argument 'depth'"),
        ({"a": own("TwoParts", {"outputs": "many"})}, "tasks.a.model", "not supported between"),
        ({"a": own("TwoParts", {"width": "4"})}, "tasks.a.model", "width is '4', a text; write the number without"),
        ({"a": own("nothing")}, "tasks.a.model", "has no attribute 'nothing'"),
        ({"a": task(model={"name": "no_such_module:x"})}, "tasks.a.model", "No module named 'no_such_module'"),
        ({"a": task(model={"name": "math:pi"})}, "tasks.a.model", "'float' object is not callable"),
        ({"a": own("TwoParts", {"outputs": 2})}, "tasks.a.target", "3 classes but the network makes 2 outputs"),
        ({"a": task(loss="own_blocks:needs_more")}, "tasks.a.loss", "cannot be made without arguments"),
        (
            {"a": own("TwoParts", {"outputs": 1}, loss="own_blocks:Scalar", target="small/size", metrics=[])},
            "tasks.a.loss",
            "one value for each sample",
        ),
        (
            {"a": task(loss="own_blocks:Misfit")},
            "tasks.a.loss",
            "own_blocks:Misfit: fails on outputs of shape (2, 3) and targets of shape (2,): MXNetError: ",
        ),
        ({"a": task(loss="own_blocks:Misfit")}, "tasks.a.loss", "own_blocks.py:"),
        ({"a": task(optimizer={"name": "groupadagrad", "learning_rate": 0.1})}, "tasks.a.optimizer", "an update"),
        ({"a": task(freeze=["boddy.*"])}, "tasks.a.freeze", "did you mean 'body"),
        ({"a": task(freeze=["*"])}, "tasks.a.freeze", "leaves no parameter to train"),
        ({"a": task(epochs=3, freeze={"*": {"from": 2}})}, "tasks.a.freeze", "leaves no parameter to train"),
        ({"a": task(epochs=3, freeze={"boddy.*": {"from": 2}})}, "tasks.a.freeze", "did you mean 'body"),
        ({**PAIR, "b": {**PAIR["b"], "initialise": {"a": "boddy.*"}}}, "tasks.b.initialise.a", "matches no parameter"),
        ({**PAIR, "b": task(needs={"a": "parameters"}, model=MLP)}, "tasks.b.needs.a", "has shape"),
        (
            {"a": own("TwoParts"), "x": {"kind": "extract", "needs": {"a": "parameters"}, "output": "knee"}},
            "tasks.x.output",
            "no block 'knee'; did you mean 'neck'?",
        ),
        ({"a": {"kind": "python", "callable": "math:pi"}}, "tasks.a.callable", "is a float, not a function"),
        ({"a": {"kind": "python", "callable": "math:atan2"}}, "tasks.a.callable", "cannot be called with one argument"),
        ({"a": {**REDUCED, "map": "math:pi"}}, "tasks.a.map", "math:pi is a float, not a function"),
        (
            {"a": {**REDUCED, "map": "math:sin"}},
            "tasks.a.map",
            "with 2 arguments, the rows of a block and their numbers",
        ),
        ({"a": {**REDUCED, "reduce": "math:no"}}, "tasks.a.reduce", "has no attribute 'no'"),
        ({"a": {**REDUCED, "finish": "math:atan2"}}, "tasks.a.finish", "with one argument, the value of all rows"),
        (
            {"a": task(), "b": task(), "c": task(needs={"a": "parameters", "b": "parameters"})},
            "tasks.c.needs.b",
            "is given by a as well; leave it out of one of the two by a pattern in `initialise`",
        ),
        (
            {"a": own("TwoParts", {"outputs": 1}, loss="own_faults:BroadcastLoss", target="small/size", metrics=[])},
            "tasks.a.loss",
            "2 samples give values of shape (2, 2), from outputs (2, 1) and targets (2,): each sample is",
        ),
    ],
)
def test_what_building_shows(refusals: Callable[..., list[str]], tasks: dict[str, Any], where: str, words: str) -> None:
    """A network, loss, pattern, part or callable that could not be used is refused with its key, and nothing else."""
    (found,) = refusals(tasks)

    assert found.startswith(f"{where}: ")
    assert words in found


@pytest.mark.parametrize("name", ["oversized", "narrow", "Shaped", "Branched"])
def test_a_refusal_has_no_lines_of_the_framework(refusals: Callable[..., list[str]], name: str, capfd: Any) -> None:
    """MXNet prints the shapes of all parameters before it raises: the problem alone is told, in hpcmtl's words."""
    told = refusals({"a": own(name)})

    assert len(told) == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("tasks", "where", "words"),
    [
        ({"a": task(target="small/size", loss="l2", model={"name": "mlp", "outputs": 1})}, "metrics", "use mse or r2"),
        ({"a": task(target="small/labels", loss="sigmoid_bce", model=MLP)}, "metrics", "one class number a sample"),
        ({"a": own("TwoParts", {"outputs": 4}, target="small/labels", loss="sigmoid_bce")}, "metrics", "one class"),
        ({"a": task(metrics=["r2"])}, "metrics", "use accuracy, balanced_accuracy, f1_macro, auc or log_loss"),
        ({"a": task(metrics=["f1_micro"])}, "metrics", "f1_micro takes several labels a sample, but small/digit has"),
        (
            {"a": labels(metrics=["balanced_accuracy"])},
            "metrics",
            "for several labels a sample use f1_macro, precision_macro",
        ),
        ({"a": labels(metrics=["f1_macro"], loss="l2")}, "metrics", "l2 trains numbers; use mse or r2"),
        (
            {"a": labels(metrics=["auc_macro"], loss="own_blocks:Cubic", model={"name": "mlp", "outputs": 3})},
            "metrics",
            "they differ",
        ),
        ({"a": task(target="small/size", loss="own_blocks:Cubic", metrics=["mse"])}, "metrics", "they differ"),
    ],
)
def test_metrics_without_a_meaning(
    refusals: Callable[..., list[str]], tasks: dict[str, Any], where: str, words: str
) -> None:
    """A metric that does not fit the loss, the targets or the outputs is refused, and not found after an epoch."""
    (found,) = refusals(tasks)

    assert found.startswith(f"tasks.a.{where}: ")
    assert words in found


@pytest.mark.parametrize("loss", ["l2", "mxnet.gluon.loss:SoftmaxCrossEntropyLoss"])
def test_a_loss_without_label_smoothing(refusals: Callable[..., list[str]], loss: str) -> None:
    """Losses of numbers and of the user's have no labels that could be smoothed."""
    target = {"target": "small/labels", "model": MLP} if loss == "l2" else {}
    (found,) = refusals({"a": task(loss=loss, label_smoothing=0.1, metrics=[], **target)})

    assert found.startswith(
        "tasks.a.label_smoothing: framework gluon smooths labels of softmax_ce and sigmoid_bce, not"
    )
    assert found.endswith(f"of {loss}; leave `label_smoothing` out")


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        (
            {"sampler": {"how": "balanced", "classes": "small/labels"}},
            "sampler.classes",
            "needs one class number a sample",
        ),
        ({"sampler": {"how": "weighted", "weights": "small/images"}}, "sampler.weights", "needs one weight a sample"),
        ({"sampler": {"how": "weighted", "weights": "small/size"}}, "sampler.weights", "sample weights are 0 or more"),
        ({"sampler": {"how": "k_shot", "k": 2, "classes": "small/size"}}, "sampler.classes", "is no number of a class"),
        (
            {"sampler": {"how": "balanced"}, "target": "small/labels", "loss": "l2", "model": MLP},
            "sampler",
            "samples of",
        ),
        ({"sampler": {"how": "weighted"}}, "sampler", "a sampler `weighted` needs `weights`"),
        ({"sampler": {"how": "k_shot", "k": 2, "samples": 9}}, "sampler", "a sampler `k_shot` takes no `samples`"),
        ({"sampler": {"how": "balanced", "classes": "small/digits"}}, "sampler.classes", "has no dataset 'digits'"),
    ],
)
def test_what_a_sampler_cannot_choose_by(
    refusals: Callable[..., list[str]], changes: dict[str, Any], where: str, words: str
) -> None:
    """Keys of another sampler, arrays of another shape, and numbers that are no class or weight."""
    (found,) = refusals({"a": task(metrics=[], **changes)})

    assert found.startswith(f"tasks.a.{where}: ")
    assert words in found


def test_a_sampler_of_several_heads_names_its_classes(refusals: Callable[..., list[str]]) -> None:
    """A joint task with two targets does not say whose classes are meant."""
    head = {"model": {"name": "mlp", "outputs": 3}, "target": "small/digit", "loss": "softmax_ce"}
    joint = {"kind": "joint", "needs": {"a": "parameters"}, "input": "small/images", "trunk": {"from": "a"}}
    joint |= {"heads": {"x": head, "y": head}, "epochs": 1, "sampler": {"how": "balanced"}}
    (found,) = refusals({"a": task(), "b": joint})

    assert found == (
        "tasks.b.sampler: the task has 2 targets; name the class numbers to choose by, as in `classes: small/digit`"
    )


def test_an_evaluation_without_samples_or_with_a_foreign_metric(refusals: Callable[..., list[str]]) -> None:
    """An empty split and a metric of the evaluation alone are refused before its network is trained."""
    report = {"kind": "evaluate", "needs": {"a": "parameters"}}
    found = refusals({"a": task(), "r": report, "s": {**report, "split": "val", "metrics": ["mse"]}})

    assert [text.partition(": ")[0] for text in found] == ["tasks.r.split", "tasks.s.metrics"]
    assert "no samples in the test split; samples are in train and val" in found[0]


def test_an_evaluation_without_metrics(refusals: Callable[..., list[str]]) -> None:
    """It would compute nothing, and say complete; metrics of the network's task are taken, those of one head too."""
    report = {"kind": "evaluate", "needs": {"a": "parameters"}, "split": "val"}
    model = {"name": "mlp", "outputs": 1}
    bare = task(target="small/size", loss="l2", model=model)
    found = refusals({"a": {key: value for key, value in bare.items() if key != "metrics"}, "r": report})

    assert len(found) == 1
    assert "tasks.r.metrics: neither this task nor a has `metrics`, so that it would compute nothing" in found[0]
    assert found[0].endswith("such as `metrics: [mse]`")
    assert refusals({"a": task(metrics=["accuracy"]), "r": report}) == []
    assert refusals({"a": task(), "r": {**report, "metrics": ["accuracy"]}}) == []


def test_shapes_of_users_networks_reach_the_tasks_behind_them(refusals: Callable[..., list[str]]) -> None:
    """A network that cannot take what a part of another network puts out is refused, though only building shows it."""
    tasks = {
        "a": own("sequential"),
        "x": {"kind": "extract", "needs": {"a": "parameters"}, "output": "0.2"},
        "fits": task(needs={"x": "data"}, input="x/values", model={"name": "mlp", "outputs": 3}),
        "images": task(needs={"x": "data"}, input="x/values"),
        "wide": own("narrow", needs={"x": "data"}, input="x/values"),
    }
    found = refusals(tasks)

    assert [text.partition(": ")[0] for text in found] == ["tasks.images.input", "tasks.wide.model"]
    assert "not samples of shape (4,)" in found[0]


def test_what_can_be_used_is_not_refused(refusals: Callable[..., list[str]]) -> None:
    """Registered lists, own losses and optimizers, parts by child and frozen parts have no problems."""
    tasks = {
        "list": own("Registered"),
        "parts": own("TwoParts", freeze=["neck.*"], optimizer={"name": "own_blocks:Halving", "learning_rate": 0.1}),
        "loss": own("TwoParts", {"outputs": 1}, loss="own_blocks:Cubic", target="small/size", metrics=["mse"]),
        "norm": own("normalised"),
        "constant": own("Picked"),
        "number": own("OneNumber", target="small/even", loss="sigmoid_bce"),
        "order": own("OneNumber", loss="l2", metrics=["auc"]),
        "refers": own("Referring"),
        "labels": task(target="small/labels", loss="sigmoid_bce", model=MLP, metrics=["mse"]),
        "code": {"kind": "extract", "needs": {"parts": "parameters"}, "output": "neck"},
        "more": own("TwoParts", needs={"parts": "parameters"}, initialise={"parts": "neck.*"}),
        "call": {"kind": "python", "callable": "math:sqrt"},
    }

    assert refusals(tasks) == []


def test_two_tasks_that_share_out_a_network(refusals: Callable[..., list[str]]) -> None:
    """Parameters may come from two tasks if each is given by one of them."""
    both = task(needs={"a": "parameters", "b": "parameters"}, initialise={"a": "body.*", "b": "output.*"})

    assert refusals({"a": task(), "b": task(), "c": both}) == []


def test_tied_weights_that_can_be_used(refusals: Callable[..., list[str]]) -> None:
    """Origins of equal ties, or of one name of each parameter, are fine; freezing by one name serves an async edge."""
    live = {"kind": "parameters", "mode": "async"}
    tasks = {
        "a": own("tied"),
        "free": own("tied", {"by": "no"}),
        "equal": own("tied", needs={"a": "parameters"}),
        "untied": own("tied", {"by": "no"}, needs={"a": "parameters"}),
        "one": own("tied", needs={"free": "parameters"}, initialise={"free": "3.*"}),
        "live": own("tied", needs={"free": live}, initialise={"free": "3.*"}, freeze=["2.*"]),
    }

    assert refusals(tasks) == []


def test_members_of_a_merge_tie_the_same_parameters(refusals: Callable[..., list[str]]) -> None:
    """Two names that are one parameter in one member alone would take two values; one of the names is fine."""
    tasks = {"a": own("tied"), "b": own("tied", {"by": "no"}), "c": own("tied", {"by": "block"})}
    members = {"tasks": ["a", "b"], "parameters": "*"}
    (found,) = refusals(tasks, merge={"layers": members})

    assert found.startswith("merge.layers.parameters: 2.bias and 3.bias are one parameter (tied weights) in one of a")
    assert refusals(tasks, merge={"layers": {**members, "parameters": "2.*"}}) == []
    assert refusals(tasks, merge={"layers": {**members, "tasks": ["a", "c"]}}) == []


def test_parameters_without_use_are_said(refusals: Callable[..., list[str]], caplog: pytest.LogCaptureFixture) -> None:
    """Parameters that no output depends on are named, those with `grad_req` null are not; the network is no problem."""
    found = refusals({"a": own("Special"), "e": {"kind": "evaluate", "needs": {"a": "parameters"}, "split": "val"}})

    assert found == []
    assert "task a: no output depends on unused.bias, unused.weight: not trained" in caplog.text
    assert "task e" not in caplog.text  # it trains nothing
    assert "fixed" not in caplog.text


def test_a_bad_producer_is_told_once(refusals: Callable[..., list[str]]) -> None:
    """Tasks that use a network with a problem do not repeat it; others have their own problems told beside it."""
    tasks = {
        "a": own("nothing"),
        "b": {"kind": "predict", "needs": {"a": "parameters"}},
        "c": task(freeze=["boddy.*"]),
    }

    assert [text.partition(": ")[0] for text in refusals(tasks)] == ["tasks.a.model", "tasks.c.freeze"]


def test_options_of_the_default_optimizer(refusals: Callable[..., list[str]]) -> None:
    """A wrong option under `defaults` is reported there, once, and not for each task."""
    optimizer = {"name": "sgd", "learning_rate": 0.1, "options": {"momentun": 0.9}}
    (found,) = refusals({"a": task(), "b": task()}, defaults={"optimizer": optimizer})

    assert found.startswith("defaults.optimizer: sgd: has no option 'momentun'")


def test_equal_networks_are_built_once(refusals: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A family of equal tasks is checked as fast as one of them; another network or optimizer is built as well."""
    framework = open_framework("gluon")
    built, check = [], framework.check

    def noting(needs: Any) -> Any:
        built.append(needs)
        return check(needs)

    monkeypatch.setattr(type(framework), "check", staticmethod(noting))
    tasks = {f"t{i}": task() for i in range(20)}

    assert refusals({**tasks, "other": task(optimizer={"name": "adam", "learning_rate": 0.1})}) == []
    assert len(built) == 2


def test_networks_are_not_tried_on_samples_of_padding_alone(refusals):
    """MXNet's `SequenceLast` of a sequence of length 0 reads outside its array: the check gives it no such sample."""
    assert refusals({"a": own("LastOfSequence")}) == []


@pytest.mark.parametrize(
    ("keys", "refused"), [({}, True), ({"ranks": 1}, False), ({"engine": "local"}, False), ({"freeze": ["*"]}, None)]
)
def test_embeddings_with_a_bound_stay_on_one_rank(
    refusals: Callable[..., list[str]], keys: dict[str, Any], refused: bool | None
) -> None:
    """Rows that each pass scales down are refused where a task may get two ranks, as its first step would."""
    pytest.importorskip("torch")
    bounded = {"framework": "torch", "model": {"name": "own_modules:Bounded"}, "metrics": []}
    found = refusals({"a": task(**bounded, **keys)})
    text = "tasks.a.ranks: a pass changes table.weight itself, as `nn.Embedding(max_norm=...)` does"

    assert any(each.startswith(text) for each in found) == (refused is True)
    assert bool(found) == (refused is not False)
