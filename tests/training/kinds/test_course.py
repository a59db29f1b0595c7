"""Keys about the course of a training that would have no effect are refused, each with what to write instead."""

from __future__ import annotations

import re

import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import parse_job
from hpcmtl.training.frozen_patterns import changes, frozen_at, phases, temporary
from hpcmtl.training.kinds.course_schemas import FreezeKeys
from hpcmtl.training.kinds.monitors import direction

TRAIN = {
    "kind": "train",
    "model": {"name": "mlp", "widths": [4], "outputs": 3},
    "input": "small/images",
    "target": "small/digit",
    "loss": "softmax_ce",
    "metrics": ["accuracy"],
    "epochs": 4,
}
HEAD = {"model": {"name": "mlp", "outputs": 3}, "target": "small/digit", "loss": "softmax_ce"}
TRUNK = {"model": {"name": "mlp", "outputs": 4}}
STOP = {"monitor": "loss", "patience": 1}


def problems(task, **others):
    """Returns what is wrong with a job of a task `t`."""
    tasks = {"t": task if "kind" in task else {**TRAIN, **task}, **others}
    raw = {"hpcmtl": 1, "job": "j", "data": {"small": "small.h5"}, "tasks": tasks}
    try:
        parse_job({**raw, "defaults": {"batch_size": 8, "optimizer": {"name": "adam", "learning_rate": 0.1}}})
    except InputError as error:
        return "\n".join(f"{each.where}: {each.message}" for each in error.problems)
    return ""


def joint(head=(), **keys):
    """A joint task with a head that has some keys."""
    heads = {"a": {**HEAD, **dict(head)}, "b": HEAD}
    return {"kind": "joint", "input": "small/images", "trunk": TRUNK, "heads": heads, "epochs": 4, **keys}


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ({"early_stopping": {**STOP, "monitor": "accuracy"}}, "early_stopping.monitor: .*write 'val_accuracy'"),
        ({"early_stopping": {**STOP, "monitor": "val_acuracy"}}, "did you mean 'val_accuracy'"),
        ({"early_stopping": {**STOP, "monitor": "val_accuracy"}, "validate_every": 0}, "there is no 'val_accuracy'"),
        ({"early_stopping": {**STOP, "patience": 4}}, "patience: .*never stop"),
        ({"keep": "best"}, "keep: .*by which metric"),
        ({"keep": {"state": "best", "monitor": "val_loss"}}, "keep.monitor: there is no 'val_loss'"),
        ({"keep": {"monitor": "loss"}}, "keep: .*write `state: best`"),
        ({"freeze": {"body.*": {"until": 4}}}, "freeze.body.*until: found 4, but the task has epochs 0 to 3"),
        ({"freeze": {"body.*": {"until": 2, "from": 3}}}, "either `until` or `from`"),
        ({"l2_sp": {"strength": 0.1, "pattern": "*"}}, "l2_sp: .*takes none"),
    ],
)
def test_what_has_no_effect_is_refused(task, expected):
    """The message names the key, and what to write in its place."""
    assert re.search(expected, problems(task), re.DOTALL)


@pytest.mark.parametrize(
    ("head", "keys", "expected"),
    [
        ({"early_stopping": {**STOP, "monitor": "a.loss"}}, {}, "heads.a.early_stopping.monitor: .*valid|mean 'loss'"),
        ({"early_stopping": STOP}, {"weighting": "nash_mtl"}, "nash_mtl weighs all heads"),
        ({"early_stopping": STOP}, {"mode": "alternate"}, "gives each head its turns"),
        ({}, {"weighting": "nash_mtl", "freeze": {"trunk.*": {"until": 2}}}, "nash_mtl combines gradients"),
    ],
)
def test_heads_that_cannot_be_stopped_are_refused(head, keys, expected):
    """A head's monitor is named without the head; weightings of gradients need all heads in all epochs."""
    assert re.search(expected, problems(joint(head, **keys)), re.DOTALL)


def test_sound_keys_are_taken():
    """All of them together, for a task and for heads, with lists of patterns as before."""
    keys = {"early_stopping": {**STOP, "monitor": "val_accuracy"}, "keep": "best", "freeze": ["body.*"]}
    heads = {"early_stopping": STOP}

    assert problems(keys) == ""
    assert problems(joint(heads, freeze={"trunk.*": {"until": 2}}, weighting="uncertainty")) != ""
    assert problems(joint(heads, freeze={"trunk.*": {"until": 2}}, early_stopping={**STOP, "monitor": "a.loss"})) == ""


def test_coupled_tasks_make_all_their_steps():
    """An async consumer counts on the steps of its producer."""
    needs = {"t": {"kind": "parameters", "mode": "async"}}
    consumer = {**TRAIN, "needs": needs, "freeze": ["body.*"]}

    assert "leave one of both out" in problems({"early_stopping": STOP}, u=consumer)
    assert "leave `until` and `from` out" in problems({"freeze": {"body.*": {"until": 2}}}, u=consumer)


def test_phases_follow_from_patterns():
    """Frozen patterns change at the epochs that the keys name, and nowhere else."""
    freeze = {"a": FreezeKeys(until=2), "b": FreezeKeys(**{"from": 3}), "c": FreezeKeys()}

    assert [frozen_at(freeze, epoch) for epoch in range(4)] == [("a", "c"), ("a", "c"), ("c",), ("b", "c")]
    assert (changes(freeze), temporary(freeze)) == ((2, 3), ("a", "b"))
    assert list(phases(freeze, 4)) == [("a", "c"), ("c",), ("b", "c")]


@pytest.mark.parametrize(
    ("monitor", "mode", "expected"),
    [
        ("loss", "auto", "lower"),
        ("digit.val_accuracy", "auto", "higher"),
        ("val_weighted_mse", "auto", "lower"),
        ("val_ndcg@10", "auto", "higher"),
        ("val_ndcg@10", "min", "lower"),
        ("val_own:metric", "auto", None),
    ],
)
def test_the_better_way_follows_from_the_metric(monitor, mode, expected):
    """Losses and errors get smaller, scores larger; a mode that is written counts."""
    assert direction(monitor, mode) == expected


def test_a_head_on_its_own_stops_its_task():
    """With `mode: separate` the monitor of a head becomes that of its task; patterns keep their epochs."""
    raw = joint({"early_stopping": STOP}, mode="separate", freeze={"trunk.*": {"until": 2}})
    defaults = {"batch_size": 8, "optimizer": {"name": "adam", "learning_rate": 0.1}}
    job = {"hpcmtl": 1, "job": "j", "data": {"small": "small.h5"}, "defaults": defaults, "tasks": {"t": raw}}
    tasks = parse_job(job).tasks
    stopping = {name: getattr(task, "early_stopping", None) for name, task in tasks.items()}

    assert sorted(keys.monitor for keys in stopping.values() if keys is not None) == ["a.loss"]
    assert all(each.freeze == {"trunk.*": FreezeKeys(until=2)} for each in tasks.values() if hasattr(each, "freeze"))
