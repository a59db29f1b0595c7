"""Curves of training tasks: exact means over steps, whatever the group, the agreements, and interruptions."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcmtl.results.curves.point import TrainingPoint
from hpcmtl.training.checkpointing.content import Checkpoint
from hpcmtl.training.sessions.curves import POINTS, CurveRecorder
from hpcmtl.training.sessions.parts import EpochEnd
from hpcmtl.training.task_steps import Steps

OBJECTIVES = [SimpleNamespace(name="a"), SimpleNamespace(name="b")]


class Task:
    """A task of some steps, whose recorder is asked in the order of the training loop."""

    def __init__(self, epochs, per_epoch, validates=False):
        self.steps = Steps([0, epochs * per_epoch], list(range(0, 4 * per_epoch + 1, 4)))
        rng = np.random.default_rng(epochs * 100 + per_epoch)
        self.losses, self.shares = rng.random((epochs * per_epoch, 2)), rng.random((epochs * per_epoch, 2))
        self.sent, self.validates = [], validates
        replica = SimpleNamespace(
            measures_norm=False,
            gradient_norm=None,
            norm_seconds=0.0,
            gradients=SimpleNamespace(weights=(0.25, 0.75), totals=SimpleNamespace(newest_cosines=None)),
            strategy=SimpleNamespace(loss_scale=None),
        )
        self.made, self.skipped = SimpleNamespace(replica=replica), SimpleNamespace(count=0)

    def recorder(self, rank=0):
        """A recorder on a rank of a group."""
        group = SimpleNamespace(rank=rank)
        context = SimpleNamespace(group=group, task="t", add_points=lambda found: self.sent.extend(found.points))
        recorder = CurveRecorder(self.made, self.skipped, OBJECTIVES, self.steps)
        recorder.enter(context, validates=self.validates)
        return recorder

    def train(self, recorder, start, stop, chunk):
        """Takes steps, whose losses are known some at a time, and at the ends of epochs where that is asked for."""
        known = start
        for step in range(start + 1, stop + 1):
            recorder.step_done(step, 0.1 / step)
            ends = self.validates and step % self.steps.per_epoch == 0
            if step - known >= chunk or step == stop or ends:
                recorder.losses_known(step, self.losses[known:step], self.shares[known:step])
                known = step
            if ends:
                recorder.epoch_ended(end(step))

    def mean(self, start, stop):
        """The mean losses over some steps, by numpy."""
        part = slice(start, stop)
        means = (self.losses[part] * self.shares[part]).sum(axis=0) / self.shares[part].sum(axis=0)
        return {"a.loss": pytest.approx(means[0]), "b.loss": pytest.approx(means[1])}


def end(step):
    """The end of an epoch with a metric, and one without a value."""
    return EpochEnd(
        context=None,
        replica=None,
        epoch=0,
        step=step,
        is_last=False,
        losses={},
        total_loss=None,
        metrics={"a.val_accuracy": step / 1000, "b.val_auc": float("nan")},
    )


def split(points):
    """Points of steps, and ends of epochs."""
    return [p for p in points if not p.ends_epoch], [p for p in points if p.ends_epoch]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 150), st.integers(1, 50), st.data())
def test_means_are_exact_whatever_the_interruptions(epochs, per_epoch, chunk, data):
    """Every point is the mean over the steps since the one before, also if a checkpoint on other ranks lies between."""
    task, total = Task(epochs, per_epoch), epochs * per_epoch
    cut = data.draw(st.integers(0, total))
    first, second = task.recorder(), task.recorder()
    task.train(first, 0, cut, chunk)
    second.load(Checkpoint({}, first.facts()))
    task.train(second, cut, total, chunk)

    unique = list({(p.step, p.ends_epoch): p for p in task.sent}.values())  # a checkpoint repeats the newest points
    steps, ends = split(unique)
    before = 0
    for point in steps:
        assert point.losses == task.mean(before, point.step)
        before = point.step
    assert before == total
    assert len(steps) >= min(total, POINTS)
    assert [p.step for p in ends] == [per_epoch * (each + 1) for each in range(epochs)]
    for point in ends:
        assert point.losses == task.mean(point.step - per_epoch, point.step)


def test_the_end_of_an_epoch_waits_for_its_metrics():
    """With a validation each epoch has one point, with metrics; one without a value is None."""
    task = Task(3, 10, validates=True)
    task.train(task.recorder(), 0, 30, 4)

    _, ends = split(task.sent)
    assert [p.step for p in ends] == [10, 20, 30]
    assert ends[1].metrics == {"a.val_accuracy": 0.02, "b.val_auc": None}
    assert ends[1].losses == task.mean(10, 20)


def test_what_a_point_holds():
    """A point has the rate, the weights and the pace at its step; norms come from the steps that measured one."""
    task = Task(1, 400)
    replica, recorder = task.made.replica, task.recorder()
    recorder.step_done(1, 0.5)
    assert replica.measures_norm  # it asks for that of the next step
    replica.gradient_norm, replica.norm_seconds = 3.5, 1e-4
    for step in range(2, 5):
        recorder.step_done(step, 0.5 / step)
    recorder.losses_known(4, task.losses[:4], task.shares[:4])
    (point,) = task.sent

    assert not replica.measures_norm
    assert (point.step, point.epoch, point.learning_rate, point.gradient_norm) == (4, 0, 0.125, 3.5)
    assert point.weights == {"a": 0.25, "b": 0.75}
    assert point.samples_per_second is None  # nothing is known of the time before it
    replica.gradient_norm = float("inf")
    task.train(recorder, 4, 8, 4)
    assert task.sent[-1].gradient_norm is None
    assert task.sent[-1].samples_per_second > 0


def test_other_ranks_send_nothing():
    """One rank of a group sends; the others keep the same sums, so that any of them can go on."""
    first, other = Task(2, 30), Task(2, 30)
    one, two = first.recorder(), other.recorder(rank=1)
    first.train(one, 0, 33, 5)
    other.train(two, 0, 33, 5)

    assert other.sent == []
    facts, others = one.facts()["curves"], two.facts()["curves"]
    assert (facts["since"], facts["epoch"]) == (others["since"], others["epoch"])


def test_checkpoints_of_earlier_versions():
    """A checkpoint without curves begins them anew, and one whose newest points are repeated sends them again."""
    task = Task(1, 200)
    recorder = task.recorder()
    task.train(recorder, 0, 7, 7)
    facts, sent = recorder.facts(), list(task.sent)
    task.sent.clear()
    recorder.load(Checkpoint({}, facts))
    again = list(task.sent)
    recorder.load(Checkpoint({}, {}))

    assert again == sent == [TrainingPoint(**vars(p)) for p in sent]
    assert len(sent) == 3
    assert recorder.facts() == {
        "curves": {"since": {"steps": (), "sums": ()}, "epoch": {"steps": (), "sums": ()}, "points": []}
    }
