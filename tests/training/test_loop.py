"""Ranks agree at the same steps: on losses, on a failure of one of them, and on a request to stop."""

from __future__ import annotations

import dataclasses
import math
import threading
from types import SimpleNamespace

import gluon_suite
import numpy as np
import pytest
import replica_suite as suite
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcmtl.communicators.inproc import RankFailedError, run_ranks
from hpcmtl.data.batches import Batch
from hpcmtl.data.cursor import Cursor
from hpcmtl.errors import TaskFailedError
from hpcmtl.training.agreement import MOST_STEPS_BETWEEN_AGREEMENTS, Agreement
from hpcmtl.training.loop import TARGET, run_steps
from hpcmtl.training.loss_totals import NO_LOSSES, LossTotals
from hpcmtl.training.schedule import Cosine, RateSchedule, learning_rate, rebased
from hpcmtl.training.step_input import INPUT_ROWS
from hpcmtl.training.step_range import Hooks, StepRange


class Recorder:
    """A replica that computes nothing: it notes its steps, and its losses are what the test says, known late."""

    learner = SimpleNamespace(views=dict)

    def __init__(self, losses):
        self.losses, self.rates, self.seen = losses, [], []
        self.drained = 0
        self.compared = True

    def step(self, batch, rate, number):
        self.rates.append(rate)
        self.seen.append(int(batch.inputs["input"][0]))
        assert number == self.seen[-1]

    def collect_losses(self, in_flight=0):
        known = max(len(self.seen) - in_flight, self.drained)
        rows = [self.losses(step) for step in self.seen[self.drained : known]]
        self.drained = known
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.losses(0)))


class Slow(Recorder):
    """A replica whose steps take over a second by the clock of the loop, so that the ranks agree after each."""

    clock = 0.0

    def step(self, batch, rate, number):
        super().step(batch, rate, number)
        self.clock += 1.25


def step_range(start, stop, per_epoch=10, objectives=("main",)):
    """A piece of a task `digits` with a cosine schedule over 1000 steps."""
    schedule = RateSchedule(0.1, 1000, decay=Cosine())
    return StepRange("digits", 3, start, stop, per_epoch, objectives, 32, schedule)


def fed(work, last_batch=32, labelled=lambda _step: {}):
    """One batch a step; its input is the number of the step, and the last batch of an epoch may be short."""
    for step in range(work.start, work.stop):
        cursor = Cursor(*divmod(step, work.steps_per_epoch), 0)
        arrays = {INPUT_ROWS + "input": np.array([step]), **{TARGET + name: np.zeros(1) for name in work.objectives}}
        samples = 32 if (step + 1) % work.steps_per_epoch else last_batch
        counts = {TARGET + name: count for name, count in labelled(step).items()}
        yield Batch(cursor, np.array([step]), arrays, np.ones(1, np.float32), samples, labelled=counts)


def run(group, work, losses=lambda _step: [1.0], stop=lambda: False, **batches):
    """Run the loop with a recorder; return what came of it, and what it called."""
    learner, reports, epochs = Recorder(losses), [], []
    trained = run_steps(
        learner,
        fed(work, **batches),
        work,
        group,
        Hooks(reports.append, stop, lambda epoch, _losses: epochs.append(epoch)),
    )
    return trained, learner, reports, epochs


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_every_step_is_taken_once_with_its_rate(ranks):
    """In order, from the piece's first to its last, at the rate that the schedule has for it."""
    work = step_range(13, 47)
    results = run_ranks(ranks, run, work)

    for trained, learner, _, epochs in results:
        assert learner.seen == list(range(13, 47))
        assert learner.rates == [learning_rate(work.schedule, step) for step in range(13, 47)]
        assert (trained.next_step, trained.stopped) == (47, False)
        assert epochs == [1, 2, 3]


@pytest.mark.parametrize(
    ("start", "stop", "per_epoch", "expected"),
    [
        (13, 47, 10, [(1, 19), (2, 29), (3, 39)]),
        (10, 20, 10, [(1, 19)]),
        (11, 19, 10, []),
        (3, 6, 1, [(3, 3), (4, 4), (5, 5)]),
    ],
)
def test_an_epoch_ends_after_its_last_step(start, stop, per_epoch, expected):
    """Validation sees the parameters after the last step of an epoch, not one step before or after."""
    work, learner, ended = step_range(start, stop, per_epoch), Recorder(lambda _step: [1.0]), []

    def epoch_ended(epoch, _losses):
        ended.append((epoch, learner.seen[-1]))

    hooks = Hooks(lambda _progress: None, lambda: False, epoch_ended)
    run_ranks(1, lambda group: run_steps(learner, fed(work), work, group, hooks))

    assert ended == expected


def test_a_rate_is_taken_at_one_step_by_all():
    """Ranks receive a change of the rate at different points; all apply it once the last one has received it."""
    work = step_range(0, 600, per_epoch=1000)

    def receive_late(group):
        learner, taken = Recorder(lambda _step: [1.0]), []
        points = iter([0] * group.rank + [1] * 600)

        def agreed(number, step):
            taken.append((number, step))
            return rebased(work.schedule, 0.4)

        hooks = Hooks(lambda _p: None, lambda: False, None, lambda: next(points), agreed)
        run_steps(learner, fed(work), work, group, hooks)
        return taken, learner.rates

    results = run_ranks(3, receive_late)
    ((number, step),) = results[0][0]

    assert results[1] == results[2] == results[0]
    assert (number, step > 1) == (1, True)
    plain = [learning_rate(work.schedule, each) for each in range(600)]
    assert results[0][1] == pytest.approx(plain[:step] + [4 * rate for rate in plain[step:]])


def test_losses_are_added_over_ranks_and_averaged_over_the_epoch():
    """Each rank has its share of the mean loss of a step; the result is the mean over the last epoch's steps."""
    work = step_range(10, 35, objectives=("digit", "parity"))
    results = run_ranks(3, run, work, lambda step: [step, 2.0])

    for trained, *_ in results:
        assert trained.losses == {"digit": pytest.approx(3 * np.mean(range(30, 35))), "parity": pytest.approx(6.0)}


def test_the_short_last_step_counts_by_its_samples():
    """The mean over an epoch is one over samples: a last step on 8 of 32 samples has a quarter of a step's weight."""

    def trained(work):
        return run_ranks(2, lambda group: run(group, work, lambda step: [step], last_batch=8))[0][0]

    whole, stopped = trained(step_range(10, 20)), trained(step_range(10, 19))
    before = LossTotals((5,), (2.0 * sum(range(10, 15)),))
    resumed = trained(dataclasses.replace(step_range(15, 20), before=before))

    mean = np.average(range(10, 20), weights=[32] * 9 + [8])
    assert whole.losses == {"main": pytest.approx(2 * mean)}
    assert resumed.losses == {"main": pytest.approx(2 * mean)}
    assert stopped.losses == {"main": pytest.approx(2 * np.mean(range(10, 19)))}


def test_the_mean_over_an_epoch_is_one_over_labelled_samples():
    """A step counts by its labelled samples, for each objective by itself; one without any label has no loss."""
    counts = {10: 4.0, 11: 0.0, 12: 12.0}
    work = step_range(10, 13, objectives=("digit", "parity", "none"))

    def labelled(step):
        return {"digit": counts[step], "none": 0.0}

    both, *_ = run_ranks(2, lambda group: run(group, work, lambda step: [step, step, 0.0], labelled=labelled))[0]

    assert both.losses == {"digit": pytest.approx(2 * (4 * 10 + 12 * 12) / 16), "parity": pytest.approx(22.0)}


@settings(max_examples=60, deadline=None)
@given(
    per_epoch=st.integers(1, 12),
    pieces=st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=1, max_size=4),
)
def test_only_losses_of_the_newest_epoch_are_kept(per_epoch, pieces):
    """Layers whose losses become known in pieces have the means of all losses, and hold those of one epoch at most."""
    start, before, hooks = 0, NO_LOSSES, Hooks(lambda _progress: None, lambda: False)
    for piece in pieces:
        stop = start + sum(piece)
        work = dataclasses.replace(step_range(start, stop, per_epoch), before=before)
        agreement = run_ranks(1, lambda group, work=work: Agreement(work, group, hooks))[0]
        agreement.group = SimpleNamespace(Allreduce=lambda *_: None)
        agreement.shares += [np.array([1.0]) for _ in range(sum(piece))]
        known = start
        for count in piece:
            agreement.agree(stop, np.arange(known, known + count, dtype=float)[:, None], stop=False)
            known += count
            if known > start:
                newest = np.arange((known - 1) // per_epoch * per_epoch, known)

                assert agreement.totals().means(["main"]) == {"main": pytest.approx(newest.mean())}
            assert len(agreement.losses) <= per_epoch
            assert len(agreement.shares) == len(agreement.losses) + stop - known
        start, before = stop, agreement.carried(stop)


def test_only_the_first_rank_reports():
    """It reports task, layer, epoch, newest known loss of all objectives, and the done share of the layer."""
    work = step_range(10, 35, objectives=("digit", "parity"))
    (_, _, reports, _), (_, _, silence, _) = run_ranks(2, run, work, lambda _step: [1.0, 2.0])

    assert silence == []
    assert {(r.task, r.layer) for r in reports} == {("digits", 3)}
    assert [r.loss for r in reports] == [None, 6.0, 6.0, 6.0]  # after the first step, and at the ends of epochs
    assert [r.fraction for r in reports] == sorted({r.fraction for r in reports})
    assert (reports[-1].fraction, reports[-1].epoch) == (1.0, 3)
    assert reports[0].fraction == 1 / 25
    assert all(r.samples_per_second > 0 for r in reports)


def test_agreements_are_not_at_every_step():
    """Quick steps cost no message but the gradients: ranks synchronise after the first, then after up to 200."""
    work = step_range(0, 500, per_epoch=1000)
    (_, _, reports, _), _ = run_ranks(2, run, work)
    steps = [round(report.fraction * 500) for report in reports]

    assert steps[0] == 1
    assert steps[-1] == 500
    assert max(np.diff(steps)) <= MOST_STEPS_BETWEEN_AGREEMENTS
    assert len(steps) < 100


def test_agreements_follow_the_slowest_rank(monkeypatch):
    """Where one rank takes over a second for a step, all synchronise after every step."""
    clocks = {}

    def slow(group):
        learner = Slow(lambda _step: [1.0]) if group.rank == 1 else Recorder(lambda _step: [1.0])
        clocks[group.rank] = learner
        reports = []
        work = step_range(0, 20, per_epoch=1000)
        run_steps(learner, fed(work), work, group, Hooks(reports.append, lambda: False))
        return reports

    def now():
        rank = int(threading.current_thread().name.split()[-1])
        return getattr(clocks.get(rank), "clock", 0.0)

    monkeypatch.setattr("hpcmtl.training.agreement.time.perf_counter", now)
    first, _ = run_ranks(2, slow)

    assert [round(report.fraction * 20) for report in first] == list(range(1, 21))
    assert first[-1].samples_per_second == pytest.approx(32 / 1.25)


@settings(max_examples=min(30, settings.default.max_examples))
@given(
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(0, 39),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.data(),
)
def test_a_loss_that_is_not_finite_fails_all_ranks(ranks, bad_rank, bad_step, value, data):
    """One rank alone has a NaN or Inf: all raise the same error, with task, layer, step, epoch and objective."""
    work = step_range(0, 40, objectives=("digit", "parity"))
    bad_rank %= ranks
    also = data.draw(st.integers(bad_step, 39))  # what follows the first is not what is told

    def failing(group):
        def losses(step):
            bad = group.rank == bad_rank and step in {bad_step, also}
            return [1.0, value if bad else 1.0]

        with pytest.raises(TaskFailedError) as error:
            run(group, work, losses)
        return str(error.value)

    messages = set(run_ranks(ranks, failing))

    assert len(messages) == 1
    message = messages.pop()
    assert message.startswith(f"task digits, layer 3, step {bad_step} (epoch {bad_step // 10}): the loss is not finite")
    assert f"(parity = {value})" in message


def test_one_wish_to_stop_stops_all_at_the_same_step():
    """A rank that was asked to stop says so at the next agreement; no rank goes on after it."""

    def stopping(group, asked_rank):
        asked = []

        def losses(step):
            asked.append(step == 25 and group.rank == asked_rank)
            return [1.0]

        return run(group, step_range(0, 400), losses, lambda: any(asked))

    for ranks, asked_rank in [(1, 0), (2, 1), (3, 1)]:
        results = run_ranks(ranks, stopping, asked_rank)
        steps = {trained.next_step for trained, *_ in results}

        assert len(steps) == 1
        assert 25 < steps.pop() <= 400 - 1
        assert all(trained.stopped for trained, *_ in results)
        assert all(learner.seen == results[0][1].seen for _, learner, *_ in results)
        assert all(len(learner.seen) == trained.next_step for trained, learner, *_ in results)


def test_a_wish_to_stop_at_the_end_is_not_a_stop():
    """The layer is complete: it is for the dispatcher to start no other."""
    trained, *_ = run_ranks(1, run, step_range(0, 5), lambda _step: [1.0], lambda: True)[0]
    whole, *_ = run_ranks(1, run, step_range(0, 1), lambda _step: [1.0], lambda: True)[0]

    assert (trained.next_step, trained.stopped) == (1, True)
    assert (whole.next_step, whole.stopped) == (1, False)


def test_a_wish_to_stop_is_heard_at_the_end_of_a_part():
    """Where others are frozen from an epoch on, steps of the layer follow, which are not begun any more."""
    work = dataclasses.replace(step_range(0, 1), whole=range(5))
    part, *_ = run_ranks(1, run, work, lambda _step: [1.0], lambda: True)[0]

    assert (part.next_step, part.stopped) == (1, True)


@pytest.mark.parametrize(("stop_after", "expected"), [(3, (3, True)), (5, (5, False)), (9, (5, False))])
def test_a_sync_point_stops_a_layer_before_its_end(stop_after, expected):
    """Where parameters are exchanged, a task may stop after any step; after the last one its layer is complete."""
    work, hooks = step_range(0, 5), Hooks([].append, lambda: False, sync_point=lambda done: done == stop_after)
    (found,) = run_ranks(1, lambda group: run_steps(Recorder(lambda _step: [1.0]), fed(work), work, group, hooks))

    assert (found.next_step, found.stopped) == expected


@pytest.mark.parametrize("due", [True, False])
def test_checkpoints_are_made_within_a_layer(monkeypatch, due):
    """One that is due is made after a step that is not the last, as the end of the layer has its own; else none is."""
    replica, saved = Slow(lambda _step: [1.0]), []
    monkeypatch.setattr("hpcmtl.training.agreement.time", SimpleNamespace(perf_counter=lambda: replica.clock))
    hooks = Hooks([].append, lambda: False, save_due=lambda: due, save=lambda step, _totals: saved.append(step))
    run_ranks(1, lambda group: run_steps(replica, fed(step_range(0, 6)), step_range(0, 6), group, hooks))

    assert bool(saved) == due
    assert all(0 < step < 6 for step in saved)


def test_a_checkpoint_at_the_end_of_an_epoch_comes_after_its_validation(monkeypatch):
    """The checkpoint has what the end of the epoch found, as a task that is resumed there does not find it again."""
    replica, order = Slow(lambda _step: [1.0]), []
    monkeypatch.setattr("hpcmtl.training.agreement.time", SimpleNamespace(perf_counter=lambda: replica.clock))
    hooks = Hooks(
        [].append,
        lambda: False,
        lambda epoch, _losses: order.append(f"epoch {epoch}"),
        save_due=lambda: True,
        save=lambda step, _totals: order.append(f"save {step}"),
    )
    work = step_range(0, 12, per_epoch=2)
    run_ranks(1, lambda group: run_steps(replica, fed(work), work, group, hooks))
    saved = [int(each.removeprefix("save ")) for each in order if each.startswith("save ")]

    assert any(step % 2 == 0 for step in saved)
    assert all(order[order.index(f"save {s}") - 1] == f"epoch {s // 2 - 1}" for s in saved if s % 2 == 0)


@pytest.mark.parametrize("ranks", [1, 3])
def test_the_end_of_an_epoch_may_end_the_loop(ranks):
    """Its losses are those of all its steps, equal on all ranks, and no step follows."""
    work, told = step_range(10, 50), []

    def ended(epoch, losses):
        told.append((epoch, losses["main"]))
        return epoch == 2

    def train(group):
        replica = Recorder(lambda step: [step / group.size])
        return run_steps(replica, fed(work), work, group, Hooks([].append, lambda: False, ended)), replica.seen

    results = run_ranks(ranks, train)

    assert [(trained.next_step, trained.stopped, seen[-1]) for trained, seen in results] == [(30, False, 29)] * ranks
    assert sorted(set(told)) == [(1, pytest.approx(14.5)), (2, pytest.approx(24.5))]


def test_a_layer_without_steps_is_complete():
    """A layer that is run again after its end takes no step and keeps its place."""
    trained, learner, reports, epochs = run_ranks(1, run, step_range(20, 20))[0]

    assert (trained.next_step, trained.stopped, trained.losses) == (20, False, {})
    assert (learner.seen, reports, epochs) == ([], [], [])


def test_an_error_of_one_rank_ends_the_others():
    """A rank that fails by itself leaves nobody waiting."""

    def failing(group):
        def losses(step):
            if group.rank == 1 and step == 4:
                raise ZeroDivisionError("in user code")
            return [1.0]

        run(group, step_range(0, 40), losses)

    with pytest.raises(RankFailedError, match="rank 1 of 2 raised ZeroDivisionError: in user code"):
        run_ranks(2, failing)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_a_real_learner_that_diverges(ranks):
    """With a real learner: an Inf in the input of one rank fails all, at the step that had it."""

    def diverging(group):
        with suite.opened(gluon_suite.setup("local" if group.size == 1 else "kvstore"), group) as replica:
            work = step_range(0, len(suite.BATCHES), per_epoch=len(suite.BATCHES))
            batches = [real(batch, group, step) for step, batch in enumerate(suite.batches())]
            with pytest.raises(TaskFailedError) as error:
                run_steps(replica, batches, work, group, Hooks(lambda _p: None, lambda: False))
        return str(error.value)

    def real(batch, group, step):
        mine = suite.dealt(batch, group.rank, group.size)
        inputs = np.where(step == 2 and group.rank == group.size - 1, np.inf, mine.inputs["input"])
        arrays = {INPUT_ROWS + "input": inputs.astype(np.float32), TARGET + "main": mine.targets[0]}
        return Batch(Cursor(0, step, 0), np.arange(len(inputs)), arrays, mine.weights, mine.global_samples)

    messages = set(run_ranks(ranks, diverging))

    assert len(messages) == 1
    assert messages.pop().startswith("task digits, layer 3, step 2 (epoch 0): the loss is not finite (main = ")


@pytest.mark.parametrize("ranks", [*(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2)), 3])
def test_a_real_learner_trains(ranks):
    """With a real learner: the losses are those of one rank, and they fall."""

    def trained(group):
        with suite.opened(gluon_suite.setup("local" if group.size == 1 else "kvstore"), group) as replica:
            replica.load_state(start)
            hooks = Hooks(lambda _progress: None, lambda: False)
            batches = [real(group, step) for step in range(60)]
            first = run_steps(replica, batches[:20], step_range(0, 20, per_epoch=20), group, hooks)
            last = run_steps(replica, batches[20:], step_range(20, 60, per_epoch=20), group, hooks)
        return first.losses["main"], last.losses["main"]

    def real(group, step):
        mine = suite.dealt(suite.batches()[step % 2], group.rank, group.size)
        arrays = {INPUT_ROWS + "input": mine.inputs["input"], TARGET + "main": mine.targets[0]}
        return Batch(
            Cursor(0, step, 0), np.arange(len(mine.inputs["input"])), arrays, mine.weights, mine.global_samples
        )

    start = run_ranks(1, lambda group: suite.replica_on(gluon_suite.setup("local"), group).state())[0]
    one = run_ranks(1, trained)[0]
    many = run_ranks(ranks, trained)

    for losses in many:
        assert losses == pytest.approx(one, rel=1e-4)
    assert one[1] < 0.5 * one[0]


@pytest.mark.parametrize(
    ("validates", "known"),
    [(False, [True] * 24 + [False]), (True, ([True] * 9 + [False]) * 2 + [True] * 4 + [False])],
    ids=["steps alone", "validation"],
)
def test_the_next_report_is_announced_where_only_steps_come(monkeypatch, validates, known):
    """A report of progress says when the next one comes, unless validation or the end of the layer comes before it."""
    replica, reports = Slow(lambda _step: [1.0]), []
    monkeypatch.setattr("hpcmtl.training.agreement.time", SimpleNamespace(perf_counter=lambda: replica.clock))
    hooks = Hooks(reports.append, lambda: False, (lambda _epoch, _losses: False) if validates else None)
    (_,) = run_ranks(1, lambda group: run_steps(replica, fed(step_range(0, 25)), step_range(0, 25), group, hooks))

    assert [report.seconds_to_next is not None for report in reports] == known
    assert {report.seconds_to_next for report in reports} <= {None, 1.25}
