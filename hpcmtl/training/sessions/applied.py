"""The base of the sessions of extract, predict and evaluate: runs a trained network over samples, layer by layer.

A task layer is a contiguous part of the samples. Its outputs are sealed as the layer's checkpoint, and the last layer
joins the parts. A stopped task thus continues after its last complete layer, on other ranks if need be.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcmtl import faults
from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.hdf5 import numbers_in, write_dataset_file
from hpcmtl.data.sequences import Sequences, offsets_of
from hpcmtl.data.sequential import sequential_batches
from hpcmtl.data.shard import shard
from hpcmtl.data.sources import selected
from hpcmtl.exchange.store import DamagedFileError, read_sealed, seal
from hpcmtl.exchange.transfer import gather_rows
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.results.step_progress import StepProgress
from hpcmtl.taskgraph.layering import layer_bounds
from hpcmtl.training.artifacts.description import file_attributes
from hpcmtl.training.artifacts.fit import require_rows_fit
from hpcmtl.training.artifacts.inputs import Inputs
from hpcmtl.training.artifacts.publish import Holders, keep_rows, publish_rows
from hpcmtl.training.artifacts.record import describe_data
from hpcmtl.training.data_guard import require_unchanged_data
from hpcmtl.training.evaluation.tokens import flattened
from hpcmtl.training.input_transforms import transforms_of_network
from hpcmtl.training.kinds.applied import APPLIED_BATCH
from hpcmtl.training.sequence_padding import outputs_per_token, with_padding
from hpcmtl.training.session import LayerOutcome, artifact_file, checkpoints_of
from hpcmtl.training.sessions.input_sources import input_sources, shapes_of
from hpcmtl.training.step_input import INPUT_ROWS, inputs_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.arrays import Arrays, Ints
    from hpcmtl.data.sequences import SampleRows
    from hpcmtl.networks.shapes import Shape
    from hpcmtl.training.kinds.schemas import Applied
    from hpcmtl.training.session import SessionContext

    Parts = dict[int, tuple[Arrays, dict[str, Any]]]

_log = logging.getLogger(__name__)

_NO_ROWS = np.empty((0,), np.float32)
_NO_HOLDERS = Holders([], 0)


class AppliedSession:
    """Runs a network over samples; a derived class sets the `part` to run and the use of the outputs (`finish`)."""

    part: str | None = None
    publishes = True

    def __init__(
        self, context: SessionContext, task: Applied, splits: Sequence[str], targets: Mapping[str, str]
    ) -> None:
        """Loads the network.

        Args:
            context: context of the session.
            task: task of the session.
            splits: names of the splits whose samples are run.
            targets: key -> reference of further arrays whose rows are kept beside the outputs.
        """
        job, name = context.job, context.task
        kind = kind_of(job, name)
        self.context = context
        self.objectives = kind.objectives(kind.views(job, name)[0].job, name)
        self.tables: dict[str, list[list[float]]] = {}  # filled by `finish`
        self._batch_size = task.batch_size or APPLIED_BATCH
        self._splits = list(splits)
        self._inputs = Inputs(context)
        read = kind.network_inputs(job, name)
        references = {**{INPUT_ROWS + each: reference for each, reference in read.items()}, **targets}
        producer = next(name for name, need in task.needs.items() if need.kind == "parameters")
        sources = self._inputs.sources(references, self._rows_wanted)
        for key, chain in transforms_of_network(context, producer).items():
            sources[key] = replace(sources[key], transform=chain)
        sources = with_padding(sources, kind.network(job, name))
        self._sources = list(sources.values())
        spans = [slice(*span) for span in self._rows_wanted(self._sources[0].split())]
        require_rows_fit(context, {references[key]: source for key, source in sources.items()}, spans)
        self.inputs = input_sources(self._sources)
        self._bounds = layer_bounds(len(selected(self._sources, splits)), context.layers)
        names = tuple(objective.name for objective in kind.objectives(job, name))
        self._network = context.framework.network(
            kind.network(job, name), shapes_of(self.inputs), names, context.device
        )
        self._network.load_parameters(self._inputs.parameters(producer))
        self._per_token = outputs_per_token(kind.network(job, name), self._run_on_ones, self.inputs)

    def _run_on_ones(self, shapes: Mapping[str, Shape]) -> Arrays:
        """Returns the outputs for a sample of ones of each input, of some shapes."""
        types = {name: each.described().datasets[each.dataset].dtype for name, each in self.inputs.items()}
        ones = {name: np.ones((1, *shape), types[name]) for name, shape in shapes.items()}
        return self._network.outputs(ones, self.part)

    def run_layer(self, layer: int) -> LayerOutcome:
        """See `Session`."""
        started = time.perf_counter()
        require_unchanged_data(self.context)
        group, last = self.context.group, layer == self.context.layers - 1
        self._make_part(layer)
        require_unchanged_data(self.context)
        seconds = time.perf_counter() - started
        parts: Parts = {}  # filled on the first rank
        for damaged in on_root(group, lambda: self._read_parts(parts)) if last else ():
            self._make_part(damaged)
        metrics: Mapping[str, float] = on_root(group, lambda: self._join(parts)) if last else {}
        samples = self._bounds[layer + 1] - self._bounds[layer]
        fullest = -(-samples // group.size)
        steps = -(-fullest // self._batch_size)
        return LayerOutcome(
            steps,
            fullest / max(steps, 1),
            seconds / max(steps, 1),
            time.perf_counter() - started,
            metrics=metrics,
            tables=self.tables,
            facts=self._inputs.facts(),
        )

    def close(self) -> None:
        """See `Session`; a network without a learner uses no resource of the group."""

    def rebinder(self) -> None:
        """See `Session`; in another group this rank has other samples, so that a new session is needed."""

    def finish(self, arrays: Arrays) -> Mapping[str, float]:
        """Writes the outputs for all samples as a data file for other tasks, and returns metrics.

        Only called on the group's first rank.
        """
        rows: dict[str, SampleRows] = {**arrays}
        for key, padding in self._per_token.items():
            rows[key] = Sequences(arrays[key], offsets_of(padding.lengths))
        file = artifact_file(self.context.directory, self.context.task)
        attributes = file_attributes(describe_data(self.context, rows, {}, self.inputs, self.part))
        write_dataset_file(file, rows, self._sources[0].split(), file_attributes=attributes, overwrite=True)
        return {}

    def rows(self, rows: Arrays, numbers: Ints) -> Arrays:
        """Returns the rows of a batch that are kept: outputs for each token as rows of tokens."""
        tokens = {key: flattened(rows[key], each.lengths[numbers]) for key, each in self._per_token.items()}
        return {**rows, **tokens}

    @property
    def _in_memory(self) -> bool:
        """Returns whether other tasks may take the rows from memory; sequences they read from the file."""
        return self.publishes and not self._per_token

    def _rows_wanted(self, split: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
        """Returns the spans of the samples of this rank, layer by layer."""
        samples, group = numbers_in(split, self._splits), self.context.group
        layers = pairwise(layer_bounds(len(samples), self.context.layers))
        shares = [shard(samples[start:stop], group.rank, group.size) for start, stop in layers]
        return [(int(share[0]), int(share[-1]) + 1) for share in shares if len(share)]

    def _run(self, layer: int) -> tuple[Arrays, Holders]:
        """Runs this rank's share of a layer; returns all rows, on the first rank, and the ranks that keep them."""
        group, piece = self.context.group, slice(self._bounds[layer], self._bounds[layer + 1])
        kept: dict[str, list[np.ndarray[Any, Any]]] = {}
        count = 0
        started = time.perf_counter()
        with sequential_batches(
            self._sources, self._splits, self._batch_size, group.rank, group.size, piece=piece
        ) as batches:
            for step, (numbers, arrays) in enumerate(batches):
                faults.step_point(self.context.task, layer, step)
                beside = {key: rows for key, rows in arrays.items() if not key.startswith(INPUT_ROWS)}
                made = self._network.outputs(inputs_in(arrays), self.part)
                for key, rows in self.rows({**made, **beside}, numbers).items():
                    kept.setdefault(key, []).append(rows)
                count += len(numbers)
                self._report(layer, count, time.perf_counter() - started)
        # A rank without samples does not know the names, so that all ranks exchange them.
        names = sorted(set().union(*group.allgather(set(kept))))
        mine = {name: np.concatenate(rows) for name, rows in kept.items()}
        holders = keep_rows(self.context, (piece.start, piece.stop), mine) if self._in_memory else _NO_HOLDERS
        gathered = {name: gather_rows(group, mine.get(name, _NO_ROWS)) for name in names}
        return {name: rows for name, rows in gathered.items() if rows is not None}, holders

    def _report(self, layer: int, count: int, seconds: float) -> None:
        if self.context.group.rank == 0:
            share_of_layer = max((self._bounds[layer + 1] - self._bounds[layer]) // self.context.group.size, 1)
            speed = count * self.context.group.size / max(seconds, 1e-9)
            self.context.report(
                StepProgress(self.context.task, layer, 0, None, speed, min(count / share_of_layer, 1.0))
            )

    def _make_part(self, layer: int) -> None:
        """Runs the samples of a layer and seals the outputs (collective)."""
        rows, kept_by = self._run(layer)
        facts = {"task": self.context.task, "layer": layer, "holders": kept_by}
        on_root(self.context.group, lambda: seal(self._part_file(layer), rows, facts))

    def _read_parts(self, parts: Parts) -> list[int]:
        """Reads the rows of all layers into `parts`; returns the layers whose files are damaged."""
        damaged = []
        for layer in range(self.context.layers):
            try:
                parts[layer] = read_sealed(self._part_file(layer))
            except DamagedFileError as error:
                _log.warning("task %s: layer %d is run again: %s", self.context.task, layer, error)
                damaged.append(layer)
        return damaged

    def _join(self, parts: Parts) -> Mapping[str, float]:
        arrays, holders = self._joined(parts)
        metrics = self.finish(arrays)
        if self._in_memory:
            publish_rows(self.context, arrays, self._sources[0].split(), holders)
        return metrics

    def _joined(self, parts: Parts) -> tuple[Arrays, dict[tuple[int, int], Holders]]:
        """Returns the rows of all layers, and the ranks that keep each span; reads the layers that were run again."""
        whole = [parts.get(layer) or read_sealed(self._part_file(layer)) for layer in range(self.context.layers)]
        holders = {
            span: Holders(*facts["holders"]) for span, (_, facts) in zip(pairwise(self._bounds), whole, strict=True)
        }
        return {name: np.concatenate([part[name] for part, _ in whole]) for name in whole[0][0]}, holders

    def _part_file(self, layer: int) -> Any:
        return checkpoints_of(self.context.directory, self.context.task) / f"layer-{layer:03d}.h5"
