"""Session of training tasks: a network, its objectives, and its optimizer steps in task layers."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from hpcmtl.data.batches import Batches, epochs_of
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.taskgraph.layering import layer_bounds
from hpcmtl.training.artifacts.fit import require_fit
from hpcmtl.training.artifacts.inputs import Inputs
from hpcmtl.training.checkpointing.checkpoint import AsyncCheckpointer, newest_state
from hpcmtl.training.checkpointing.content import Checkpoint
from hpcmtl.training.coupling.coupling import open_coupling
from hpcmtl.training.data_guard import require_unchanged_data
from hpcmtl.training.divergence import check_replicas
from hpcmtl.training.evaluation.validation import asked_metrics, validation
from hpcmtl.training.loop import StepsResult, run_steps
from hpcmtl.training.loss_totals import NO_LOSSES, LossTotals, stored_totals
from hpcmtl.training.schedule import of_optimizer
from hpcmtl.training.session import LayerOutcome
from hpcmtl.training.sessions.course import Course
from hpcmtl.training.sessions.curves import CurveRecorder
from hpcmtl.training.sessions.first_parameters import load_first_parameters
from hpcmtl.training.sessions.learning_rate import LearningRate
from hpcmtl.training.sessions.notes import Notes
from hpcmtl.training.sessions.parts import EpochEnd, SessionParts
from hpcmtl.training.sessions.publishing import publish_trained
from hpcmtl.training.sessions.replicas import ReplicaMaker, ReplicaOfEpoch
from hpcmtl.training.sessions.shared_split import share_split
from hpcmtl.training.sessions.skipped_steps import SkippedSteps
from hpcmtl.training.sessions.task_metrics import TaskMetrics, named_losses, total_loss
from hpcmtl.training.sessions.train_data import training_data
from hpcmtl.training.step_range import Hooks, StepRange
from hpcmtl.training.task_steps import Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.kinds.schemas import Trained
    from hpcmtl.training.orders import LayerOrders
    from hpcmtl.training.session import SessionContext

KEPT_BYTES = 32 << 20  # largest size of samples that a session without a group keeps in memory
_NOTHING = Checkpoint({}, {})
_COPIES = 3  # estimate: a state is as large as this number of copies of the parameters (Adam has two moments)


class TrainSession:
    """Trains one task on one group, layer by layer; see `Session`."""

    def __init__(self, context: SessionContext, task: Trained) -> None:
        self._context, self._task, self._kind = context, task, kind_of(context.job, context.task)
        self._objectives = self._kind.objectives(context.job, context.task)
        self._consistency = self._kind.consistency(context.job, context.task)
        self._metrics = TaskMetrics()
        self._next_step: int | None = None
        self._loaded: Checkpoint | None = None  # state that the learner has now
        self._entered, self._waited, self._totals = True, 0.0, NO_LOSSES  # entered: the state is still to be found
        self._notes, self._inputs = Notes(), Inputs(context)
        self._data = data = training_data(context, self._inputs, task, self._objectives)
        self._spec, samples = data.spec, epochs_of(data.spec).bounds.tolist()
        self._steps = steps = Steps(layer_bounds((len(samples) - 1) * task.epochs, context.layers), samples)
        assert task.optimizer is not None, "defaults are filled in"
        self._rate = LearningRate(of_optimizer(task.optimizer, steps.total, steps.per_epoch))
        self._course = Course(task, self._objectives)
        maker = ReplicaMaker(task=task, spec=self._spec, steps_per_epoch=steps.per_epoch, course=self._course)
        self._made = ReplicaOfEpoch(maker, context)
        self._skipped = SkippedSteps(self._made)
        self._curves = CurveRecorder(self._made, self._skipped, [*self._objectives, *self._consistency], steps)
        try:
            require_fit(context, data.read, self._made.replica.learner.outputs)
            self._coupling = open_coupling(context, steps)
            own = (*([] if self._coupling is None else [self._coupling]), *self._course.parts)
            self._parts = SessionParts([self._rate, self._notes, self._metrics, self._skipped, self._curves, *own])
            self._open_on_group(0.0)
        except BaseException:
            self._made.replica.close()  # the caller cannot: there is no session
            raise

    def run_layer(self, layer: int) -> LayerOutcome:
        """See `Session`; it trains from the newest state of the task to the end of the layer."""
        started, context = time.perf_counter(), self._context
        self._curves.enter(context, validates=self._validate is not None or self._parts.acts_on_epochs)
        if not self._begun(layer):  # parameters of a paused task are missing
            return LayerOutcome(0, 0, 0.0, time.perf_counter() - started, stopped=True, reached=self._next_step)
        require_unchanged_data(context)
        context.states.pop(context.task, None)  # it is as large as the state itself
        self._loaded = None
        assert self._next_step is not None
        self._notes.width(context, self._made.replica.learner.traits, self._spec.batch_size)
        self._notes.validation(context, () if self._validate else asked_metrics(self._task, self._objectives))
        orders = context.orders()
        if orders.rate is not None:
            self._rate.take(context, orders, orders.rate.number, self._next_step)
        first, training, self._waited = self._next_step, time.perf_counter(), 0.0
        result = self._train(layer, first, orders)
        seconds = time.perf_counter() - training
        self._next_step, self._totals = result.next_step, result.totals
        self._metrics.values.update(named_losses(result.losses))
        over = self._course.over or result.next_step == self._steps.total
        self._notes.skipped_steps(context, self._skipped.count, result.next_step, last=over)
        if over:
            self._metrics.values.update(self._course.restore(self._made.replica.learner))
            self._metrics.values.update(self._data.ended(self._made.replica, context.group, self._metrics.values))
        checkpoint = self._save(result.next_step, result.totals)
        if over:
            self._skipped.require_updates(context.task, result.next_step)
            publish_trained(context, checkpoint, self._data.first, self._metrics.values)
            self._checkpoints.flush()  # the task is complete then
        elif result.stopped:
            self._checkpoints.flush()
        context.states[context.task] = self._loaded = checkpoint
        return self._outcome(result, first, started, seconds)

    def close(self) -> None:
        """See `Session`."""
        self._checkpoints.close()
        self._made.replica.close()
        if self._spec.cache.bytes > KEPT_BYTES:
            self._spec.cache.clear()

    def rebinder(self) -> Callable[[Communicator, int | None], None] | None:
        """See `Session`; None with exchanged parameters, many samples in memory, or devices that may change."""
        mixed, size = self._context.mixed_devices, self._data.bytes_in_memory
        return None if self._coupling or mixed or size > KEPT_BYTES else self._join

    def _join(self, group: Communicator, step: int | None) -> None:
        self._context = dataclasses.replace(self._context, group=group, step=step)
        self._inputs = Inputs(self._context)
        self._parts.load(_NOTHING)  # each rank has those of the layer that it was in; `_begin` loads the newest
        if self._made.join(self._context):
            self._loaded = None
        self._open_on_group(self._checkpoints.cost)
        self._entered = True

    def _open_on_group(self, checkpoint_cost: float) -> None:
        """Makes the parts that belong to one group."""
        share_split(self._spec, self._context.group)
        self._checkpoints = AsyncCheckpointer(self._context, checkpoint_cost)
        self._open_validation()

    def _open_validation(self) -> None:
        self._validate = validation(
            self._context, self._task, self._objectives, self._data.held_out, self._made.replica
        )

    def _enter_epoch(self, epoch: int) -> bool:
        """Prepares to train in an epoch (collective); returns whether there is a new replica, without a state."""
        is_new = self._made.enter(self._context, epoch)
        if is_new:
            self._open_validation()
        return is_new

    def _begun(self, layer: int) -> bool:
        """Prepares the first step of a layer; returns False if parameters of another task are missing."""
        if self._entered and not self._begin():
            return False
        self._entered = False
        assert self._next_step is not None
        coupling = self._coupling
        return coupling is None or not coupling.begin(
            self._made.replica.learner, self._steps.at(layer, self._next_step)
        )

    def _begin(self) -> bool:
        """Loads the newest state, or initial parameters; returns False if parameters of another task are missing."""
        found = newest_state(self._context)
        if found is None:
            return self._begin_task()
        self._next_step = int(found.facts["step"])
        self._parts.load(found)
        if not self._enter_epoch(self._steps.epoch_of(self._next_step)) and found is self._loaded:
            self._made.replica.load_strategy_state(found.state)
        else:
            self._made.replica.load_state(found.state)
        self._totals = stored_totals(found.facts["losses"], len(self._objectives) + len(self._consistency))
        self._checkpoints.expect(sum(array.nbytes for array in found.state.values()))
        return True

    def _begin_task(self) -> bool:
        """Loads initial parameters; returns False if parameters of another task are missing."""
        context = self._context
        self._parts.load(_NOTHING)
        self._enter_epoch(0)
        taken = load_first_parameters(context, self._inputs, self._coupling, self._made.replica.learner)
        if taken is None:
            return False
        self._metrics.values = self._data.begun(self._made.replica.learner, context.group)
        self._made.replica.synchronise()
        self._next_step, self._totals = 0, NO_LOSSES
        parameters = self._made.replica.learner.parameters_matching("*")
        self._course.begin(self._made.replica.learner, taken if self._data.increment is None else frozenset(parameters))
        self._checkpoints.expect(_COPIES * sum(array.nbytes for array in parameters.values()))
        return True

    def _train(self, layer: int, first: int, orders: LayerOrders) -> StepsResult:
        """Takes the steps of a layer from `first` on; where others are frozen from an epoch on, by a new replica."""
        whole, result = range(first, self._steps.bounds[layer + 1]), StepsResult(first, totals=self._totals)
        # No step is taken where the checkpoint is newer than the job's record.
        while result.next_step < whole.stop and not (result.stopped or self._course.over):
            epoch = self._steps.epoch_of(result.next_step)
            if self._made.is_other(epoch):
                state = self._made.replica.state()
                self._enter_epoch(epoch)
                self._made.replica.load_state(state)
            stop = min(whole.stop, self._course.next_change(epoch) * self._steps.per_epoch)
            result = self._take_steps(layer, range(result.next_step, stop), whole, orders)
            self._totals = result.totals
        return result

    def _take_steps(self, layer: int, steps: range, whole: range, orders: LayerOrders) -> StepsResult:
        context = self._context
        step_range = StepRange(
            task=context.task,
            layer=layer,
            start=steps.start,
            stop=steps.stop,
            steps_per_epoch=self._steps.per_epoch,
            objectives=tuple(objective.name for objective in self._objectives),
            consistency=self._consistency,
            batch_size=self._spec.batch_size,
            schedule=self._rate.schedule,
            rate=orders.rate.number if orders.rate else 0,
            before=self._totals,
            whole=whole,
        )
        hooks = Hooks(
            context.report,
            context.stop_requested,
            self._epoch_ended if self._curves.validates else None,
            lambda: orders.newest,
            lambda number, step: self._rate.take(context, orders, number, step),
            None if self._coupling is None else self._coupling.exchange(self._made.replica.learner, layer),
            self._checkpoints.due,
            self._save,
            lambda found: self._notes.comparison(context, found),
            self._curves,
        )
        start, end = (self._steps.cursor(step, context.job.seed) for step in (steps.start, steps.stop))
        with Batches(self._spec, start, end, context.group.rank, context.group.size) as batches:
            result = run_steps(self._made.replica, batches, step_range, context.group, hooks)
            self._waited += batches.waited_seconds
        return result

    def _epoch_ended(self, epoch: int, losses: Mapping[str, float]) -> bool:
        """Validates and tells the parts of the session; returns whether the training is interrupted (collective)."""
        found = {} if self._validate is None else self._validate(epoch)
        self._metrics.values.update(found)
        end = EpochEnd(
            context=self._context,
            replica=self._made.replica,
            epoch=epoch,
            step=(epoch + 1) * self._steps.per_epoch,
            is_last=epoch + 1 == self._task.epochs,
            losses=named_losses(losses),
            total_loss=total_loss(losses, (*self._objectives, *self._consistency)),
            metrics=found,
        )
        return self._parts.epoch_ended(end)

    def _save(self, step: int, totals: LossTotals) -> Checkpoint:
        """Copies the state and starts to write it, if the data have not changed (collective)."""
        require_unchanged_data(self._context)
        started = time.perf_counter()
        state = self._made.replica.state()
        check_replicas(self._context, self._made.replica, state, f"checkpoint after step {step}")
        facts = {
            "step": step,
            "seed": self._context.job.seed,  # of the data's order, and of all random streams: see SessionContext.seed
            "losses": dataclasses.asdict(totals),
            **self._parts.facts(),
        }
        checkpoint = Checkpoint({**state, **self._parts.state()}, facts)
        self._checkpoints.save(checkpoint, time.perf_counter() - started)
        return checkpoint

    def _outcome(self, result: StepsResult, first: int, started: float, training_seconds: float) -> LayerOutcome:
        synchronisation, steps = self._made.replica.strategy.facts, result.next_step - first
        return LayerOutcome(
            steps=steps,
            rows=-(-min(self._spec.batch_size, self._steps.samples[-1]) // self._context.group.size),
            step_seconds=training_seconds / max(steps, 1),
            seconds=time.perf_counter() - started,
            stopped=result.stopped and not self._course.over,
            metrics=dict(self._metrics.values),
            facts={
                "data_wait": self._waited / max(training_seconds, 1e-9),
                "skipped_steps": self._made.replica.skipped_steps,
                **self._made.replica.gradients.totals.taken(),
                **({} if self._coupling is None else self._coupling.counts()),
                **self._inputs.facts(),
            },
            reached=result.next_step,
            ended_early=self._course.over and result.next_step < self._steps.total,
            **dataclasses.asdict(synchronisation),
        )
