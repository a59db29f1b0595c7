"""Session of training tasks: a network, its objectives, and its optimizer steps in task layers."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.batches import Batches, epochs_of
from hpcmtl.data.cursor import Cursor
from hpcmtl.exchange.store import PARAMETERS, seal
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.results.events import LearningRateChanged
from hpcmtl.taskgraph.layering import layer_bounds
from hpcmtl.training import schedule as schedules
from hpcmtl.training.artifacts.fit import require_fit
from hpcmtl.training.artifacts.inputs import Inputs
from hpcmtl.training.artifacts.publish import publish_parameters
from hpcmtl.training.artifacts.record import parameter_facts
from hpcmtl.training.checkpointing.checkpoint import AsyncCheckpointer, newest_state
from hpcmtl.training.checkpointing.content import Checkpoint
from hpcmtl.training.coupling.coupling import Steps, SyncPoint, open_coupling
from hpcmtl.training.data_guard import require_unchanged_data
from hpcmtl.training.divergence import check_replicas
from hpcmtl.training.evaluation.validation import asked_metrics, validation
from hpcmtl.training.learner_settings import settings_of
from hpcmtl.training.loop import Hooks, StepRange, StepsResult, run_steps
from hpcmtl.training.loss_totals import NO_LOSSES, LossTotals, stored_totals
from hpcmtl.training.multitask.step_gradients import gradients_by
from hpcmtl.training.replica import Replica
from hpcmtl.training.session import LayerOutcome, artifact_file
from hpcmtl.training.sessions.input_sources import input_sources, shapes_of
from hpcmtl.training.sessions.notes import Notes
from hpcmtl.training.sessions.shared_split import share_split
from hpcmtl.training.sessions.skipped_steps import SkippedSteps
from hpcmtl.training.sessions.train_data import training_data
from hpcmtl.training.strategies.select import StrategySettings, open_strategy

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcmtl.communicators.base import Communicator
    from hpcmtl.training.kinds.schemas import Trained
    from hpcmtl.training.orders import LayerOrders
    from hpcmtl.training.session import SessionContext

KEPT_BYTES = 32 << 20  # largest size of samples that a session without a group keeps in memory
_COPIES = 3  # estimate: a state is as large as this number of copies of the parameters (Adam has two moments)


class TrainSession:
    """Trains one task on one group, layer by layer; see `Session`."""

    def __init__(self, context: SessionContext, task: Trained) -> None:
        self._context, self._task, self._kind = context, task, kind_of(context.job, context.task)
        self._objectives = self._kind.objectives(context.job, context.task)
        self._metrics: dict[str, float] = {}
        self._next_step: int | None = None
        self._loaded: Checkpoint | None = None  # state that the learner has now
        self._entered, self._waited, self._totals = True, 0.0, NO_LOSSES  # entered: the state is still to be found
        self._notes, self._inputs = Notes(), Inputs(context)
        self._data = data = training_data(context, self._inputs, task, self._objectives)
        self._spec, bounds = data.spec, epochs_of(data.spec).bounds.tolist()
        self._steps_per_epoch, self._fullest = len(bounds) - 1, min(self._spec.batch_size, bounds[-1])
        self._steps = self._steps_per_epoch * task.epochs
        assert task.optimizer is not None, "defaults are filled in"
        self._schedule = schedules.of_optimizer(task.optimizer, self._steps, self._steps_per_epoch)
        self._bounds = layer_bounds(self._steps, context.layers)
        self._replica = self._make_replica()
        self._learner, self._skipped = self._replica.learner, SkippedSteps(self._replica)
        try:
            require_fit(context, data.read, self._learner.outputs)
            self._coupling = open_coupling(context, Steps(self._bounds, bounds))
            self._open_on_group(0.0)
        except BaseException:
            self._replica.close()  # the caller cannot: there is no session
            raise

    def run_layer(self, layer: int) -> LayerOutcome:
        """See `Session`; it trains from the newest state of the task to the end of the layer."""
        started, context = time.perf_counter(), self._context
        if not self._begun(layer):  # parameters of a paused task are missing
            return LayerOutcome(0, 0, 0.0, time.perf_counter() - started, stopped=True, reached=self._next_step)
        require_unchanged_data(context)
        context.states.pop(context.task, None)  # it is as large as the state itself
        self._loaded = None
        assert self._next_step is not None
        self._notes.width(context, self._learner.traits, self._spec.batch_size)
        self._notes.validation(context, () if self._validate else asked_metrics(self._task, self._objectives))
        orders = context.orders()
        if orders.rate is not None:
            self._take_rate(orders, orders.rate.number, self._next_step)
        first, training = self._next_step, time.perf_counter()
        result = self._train(layer, first, orders)
        seconds = time.perf_counter() - training
        self._next_step, self._totals = result.next_step, result.totals
        self._metrics.update({("loss" if n == "main" else f"{n}.loss"): v for n, v in result.losses.items()})
        self._notes.skipped_steps(context, self._skipped.count, result.next_step, self._steps)
        if result.next_step == self._steps:
            self._metrics.update(self._data.ended(self._replica, context.group, self._metrics))
        checkpoint = self._save(result.next_step, result.totals)
        if result.stopped:
            self._checkpoints.flush()
        elif layer == context.layers - 1:
            self._skipped.require_updates(context.task, self._steps)
            self._publish(checkpoint)
        context.states[context.task] = self._loaded = checkpoint
        return self._outcome(result, first, started, seconds)

    def close(self) -> None:
        """See `Session`."""
        self._checkpoints.close()
        self._replica.close()
        if self._spec.cache.bytes > KEPT_BYTES:
            self._spec.cache.clear()

    def rebinder(self) -> Callable[[Communicator, int | None], None] | None:
        """See `Session`; None with exchanged parameters, many samples in memory, or devices that may change."""
        mixed, size = self._context.mixed_devices, self._data.bytes_in_memory
        return None if self._coupling or mixed or size > KEPT_BYTES else self._join

    def _join(self, group: Communicator, step: int | None) -> None:
        self._context = dataclasses.replace(self._context, group=group, step=step)
        self._inputs = Inputs(self._context)
        strategy = open_strategy(self._synchronisation, self._learner, self._context.framework, group)
        self._replica.join(strategy, self._context.streams)
        self._open_on_group(self._checkpoints.cost)
        self._entered = True

    def _open_on_group(self, checkpoint_cost: float) -> None:
        """Makes the parts that belong to one group."""
        share_split(self._spec, self._context.group)
        self._checkpoints = AsyncCheckpointer(self._context, checkpoint_cost)
        self._validate = validation(self._context, self._task, self._objectives, self._data.held_out, self._replica)

    def _make_replica(self) -> Replica:
        context, task = self._context, self._task
        assert task.optimizer is not None and task.engine is not None and task.compression is not None  # noqa: PT018
        network, shapes = self._kind.network(context.job, context.task), shapes_of(input_sources(self._spec.sources))
        settings = settings_of(task, context.seed("initial parameters"))
        learner = context.framework.learner(network, shapes, self._objectives, settings, context.device)
        self._synchronisation = StrategySettings(task.engine, task.compression, scales_loss=task.precision == "fp16")
        strategy = open_strategy(self._synchronisation, learner, context.framework, context.group)
        choice, seed = self._kind.weighting(context.job, context.task), context.seed("weighting")
        gradients = gradients_by(choice, self._objectives, seed, self._steps_per_epoch)
        return Replica(learner, strategy, gradients, context.streams, task.optimizer.clip_norm)

    def _begun(self, layer: int) -> bool:
        """Prepares the first step of a layer; returns False if parameters of another task are missing."""
        if self._entered and not self._begin():
            return False
        self._entered = False
        assert self._next_step is not None
        point = self._sync_point(layer, self._next_step)
        return self._coupling is None or not self._coupling.begin(self._learner, point)

    def _begin(self) -> bool:
        """Loads the newest state, or initial parameters; returns False if parameters of another task are missing."""
        found = newest_state(self._context)
        if found is not None:
            if found is self._loaded:
                self._replica.load_strategy_state(found.state)
            else:
                self._replica.load_state(found.state)
            self._next_step = int(found.facts["step"])
            self._totals = stored_totals(found.facts["losses"], len(self._objectives))
            self._metrics = dict(found.facts["metrics"])
            self._notes.names = frozenset(found.facts.get("noted", ()))  # checkpoints of earlier versions have none
            self._skipped.load(found.facts)
            self._schedule = schedules.rebased(self._schedule, float(found.facts["learning_rate"]))
            if self._coupling is not None:
                self._coupling.taken = dict(found.facts["versions"])
                self._coupling.load_state(found.state)
            self._checkpoints.expect(sum(array.nbytes for array in found.state.values()))
            return True
        for mapping in self._kind.parameter_mappings(self._context.job, self._context.task):
            if self._coupling is not None and self._coupling.is_beside(mapping.producer):
                newest = self._coupling.first_parameters(mapping.producer)
                if newest is None:
                    return False
                self._learner.load_mapped(newest, mapping)
                continue
            self._learner.load_mapped(self._inputs.parameters(mapping.producer), mapping)
        before = self._data.begun(self._learner, self._context.group)
        self._replica.synchronise()
        self._skipped.load({})
        self._next_step, self._totals, self._metrics = 0, NO_LOSSES, before
        size = sum(array.nbytes for array in self._learner.parameters_matching("*").values())
        self._checkpoints.expect(_COPIES * size)
        return True

    def _sync_point(self, layer: int, step: int) -> SyncPoint:
        """Returns the position of the task after `step` steps, in or at the end of a layer."""
        done = layer + (step == self._bounds[layer + 1])
        return SyncPoint(step, done, between_layers=step in self._bounds, last=step == self._steps)

    def _exchange(self, layer: int) -> Callable[[int], bool] | None:
        """Returns the parameter exchange at the step boundaries of a layer; None without coupled tasks."""
        if (coupling := self._coupling) is None:
            return None
        return lambda step: coupling.sync_point(self._learner, self._sync_point(layer, step))

    def _take_rate(self, orders: LayerOrders, number: int, step: int) -> schedules.RateSchedule:
        """Applies a change of the learning rate from a step on, the same on all ranks; returns the new schedule."""
        base = orders.numbered(number).learning_rate
        if base != self._schedule.base_learning_rate:
            self._schedule = schedules.rebased(self._schedule, base)
            task, layer = self._context.task, orders.layer
            if self._context.group.rank == 0:
                orders.record(LearningRateChanged(task=task, layer=layer, step=step, learning_rate=base))
        return self._schedule

    def _train(self, layer: int, first: int, orders: LayerOrders) -> StepsResult:
        context, stop = self._context, self._bounds[layer + 1]
        if first >= stop:  # the checkpoint is newer than the job's record
            return StepsResult(first, totals=self._totals)
        step_range = StepRange(
            task=context.task,
            layer=layer,
            start=first,
            stop=stop,
            steps_per_epoch=self._steps_per_epoch,
            objectives=tuple(objective.name for objective in self._objectives),
            batch_size=self._spec.batch_size,
            schedule=self._schedule,
            rate=orders.rate.number if orders.rate else 0,
            before=self._totals,
        )
        hooks = Hooks(
            context.report,
            context.stop_requested,
            None if self._validate is None else self._epoch_ended,
            lambda: orders.newest,
            lambda number, step: self._take_rate(orders, number, step),
            self._exchange(layer),
            self._checkpoints.due,
            self._save,
            lambda found: self._notes.comparison(context, found),
        )
        start, end = (Cursor(*divmod(step, self._steps_per_epoch), context.job.seed) for step in (first, stop))
        with Batches(self._spec, start, end, context.group.rank, context.group.size) as batches:
            result = run_steps(self._replica, batches, step_range, context.group, hooks)
            self._waited = batches.waited_seconds
        return result

    def _epoch_ended(self, epoch: int) -> None:
        assert self._validate is not None
        self._metrics.update(self._validate(epoch))

    def _save(self, step: int, totals: LossTotals) -> Checkpoint:
        """Copies the state and starts to write it, if the data have not changed (collective)."""
        require_unchanged_data(self._context)
        started = time.perf_counter()
        state = self._replica.state()
        check_replicas(self._context, self._replica, state, f"checkpoint after step {step}")
        coupling = {} if self._coupling is None else self._coupling.state()
        facts = {
            "step": step,
            "seed": self._context.job.seed,  # of the data's order, and of all random streams: see SessionContext.seed
            "schedule": dataclasses.asdict(self._schedule),
            "learning_rate": self._schedule.base_learning_rate,
            "metrics": dict(self._metrics),
            "noted": sorted(self._notes.names),
            "skipped_steps": self._skipped.count,
            "losses": dataclasses.asdict(totals),
            "versions": {} if self._coupling is None else dict(self._coupling.taken),
        }
        checkpoint = Checkpoint({**state, **coupling}, facts)
        self._checkpoints.save(checkpoint, time.perf_counter() - started)
        return checkpoint

    def _publish(self, checkpoint: Checkpoint) -> None:
        """Seals and publishes the parameters; the task is complete then (collective)."""
        context = self._context
        parameters = {name: array for name, array in checkpoint.state.items() if name.startswith(PARAMETERS)}
        file, inputs = artifact_file(context.directory, context.task), input_sources(self._data.first)
        on_root(context.group, lambda: seal(file, parameters, parameter_facts(context, inputs, self._metrics)))
        publish_parameters(context, parameters)
        self._checkpoints.flush()

    def _outcome(self, result: StepsResult, first: int, started: float, training_seconds: float) -> LayerOutcome:
        synchronisation, steps = self._replica.strategy.facts, result.next_step - first
        return LayerOutcome(
            steps=steps,
            rows=-(-self._fullest // self._context.group.size),
            step_seconds=training_seconds / max(steps, 1),
            seconds=time.perf_counter() - started,
            stopped=result.stopped,
            metrics=dict(self._metrics),
            facts={
                "data_wait": self._waited / max(training_seconds, 1e-9),
                "skipped_steps": self._replica.skipped_steps,
                **self._replica.gradients.totals.taken(),
                **({} if self._coupling is None else self._coupling.facts()),
                **self._inputs.facts(),
            },
            reached=result.next_step,
            **dataclasses.asdict(synchronisation),
        )
