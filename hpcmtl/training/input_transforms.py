"""The transforms of a network's input in a session: their numbers, kept in the run directory, and a trial."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.sources import selected
from hpcmtl.data.transforming.channel_moments import ChannelMoments, channel_moments, completed
from hpcmtl.data.transforming.transforms import TransformChain, require_repeatable
from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.transforms import from_json, is_complete, shape_problems, to_json
from hpcmtl.results.rundir.directory import write_json_atomically
from hpcmtl.training.map_reduce import map_reduce

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints
    from hpcmtl.data.reader import ArrayReader
    from hpcmtl.data.sources import Source
    from hpcmtl.jobfile.transforms import Transform
    from hpcmtl.training.session import SessionContext

TRIED = 8
"""Number of train samples that transforms are tried on."""


def transforms_of_training(context: SessionContext, source: Source) -> TransformChain | None:
    """Returns the transforms of a task that trains, after a trial on some samples; None for none (collective).

    Numbers that are computed from the train samples are kept in the run directory: a task that is resumed, and those
    that run its network, read them there.

    Args:
        context: context of the task.
        source: input of the network; all rows of one in memory.

    Raises:
        InputError: the samples cannot have the transforms, or a function of the user's failed; on all ranks.
    """
    job, task, group = context.job, context.task, context.group
    given = kind_of(job, task).transforms(job, task)
    if not given:
        return None
    on_root(group, lambda: _require_shape(context, given, source))
    if not all(map(is_complete, given)):
        reference = kind_of(job, task).network_input(job, task)
        kept = on_root(group, lambda: _kept(_file(context, task), given, reference))
        given = kept or _computed(context, given, source, reference)
    chain = TransformChain(given, _seed(context, task))
    on_root(group, lambda: try_transforms(chain, source))
    return chain


def transforms_of_network(context: SessionContext, producer: str) -> TransformChain | None:
    """Returns the transforms that samples get before the network of another task; None for none (collective).

    Args:
        context: context of a task that runs this network.
        producer: name of the task that trained it.

    Raises:
        InputError: the run directory has no numbers of them; on all ranks.
    """
    job = context.job
    given = kind_of(job, producer).transforms(job, producer)
    if not any(each.on == "all" for each in given):
        return None
    if not all(map(is_complete, given)):
        file, reference = _file(context, producer), kind_of(job, producer).network_input(job, producer)
        kept = on_root(context.group, lambda: _kept(file, given, reference))
        if kept is None:
            text = f"has no mean and deviation, with which {producer} was trained; restore it from a copy of the run"
            raise InputError([Problem(str(file), text)])
        given = kept
    return TransformChain(given, _seed(context, producer))


def try_transforms(chain: TransformChain, source: Source) -> None:
    """Tries transforms on the first train samples of an array.

    Raises:
        InputError: one fails, or returns what a network does not take; see `require_repeatable`.
    """
    rows, numbers = first_rows(source)
    require_repeatable(chain, rows, numbers)


def first_rows(source: Source) -> tuple[NDArray[Any], Ints]:
    """Returns the first train samples of an array, and their numbers."""
    numbers = selected([source], ["train"])[:TRIED]
    with source.opened() as reader:
        return reader.rows(numbers, lambda: None), numbers


def _seed(context: SessionContext, task: str) -> int:
    return replace(context, task=task).seed("transform")


def _file(context: SessionContext, task: str) -> Path:
    return context.directory.transforms / f"{task}.json"


def _require_shape(context: SessionContext, given: tuple[Transform, ...], source: Source) -> None:
    """Refuses samples of another task that cannot have the transforms."""
    shape = source.described().datasets[source.dataset].shape
    texts = list(shape_problems(given, shape))
    if texts:
        raise InputError(Problem(f"tasks.{context.task}.transform", text) for text in texts)


def _kept(file: Path, given: tuple[Transform, ...], reference: str) -> tuple[Transform, ...] | None:
    """Returns the transforms with the numbers in a file; None if there is none, or it belongs to others."""
    if not file.exists():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        is_same = values["input"] == reference and values["given"] == to_json(given)
        return from_json(values["complete"]) if is_same else None
    except (OSError, ValueError, LookupError, TypeError) as error:
        text = f"cannot be read ({error}); restore it from a copy, or remove it to compute mean and deviation again"
        raise InputError([Problem(str(file), text)]) from error


def _computed(
    context: SessionContext, given: tuple[Transform, ...], source: Source, reference: str
) -> tuple[Transform, ...]:
    """Computes the numbers from the train samples, which the ranks share, and keeps them (collective)."""
    train = selected([source], ["train"])

    def moments_of(chain: TransformChain) -> ChannelMoments:
        def moments(rows: NDArray[Any], numbers: Ints) -> ChannelMoments:
            return channel_moments(chain.changed(rows, numbers, None))

        with source.opened() as reader:
            rows = _DeliveredRows(reader)
            return map_reduce(rows, moments, ChannelMoments.merged, context.group, numbers=train)

    found = completed(given, _seed(context, context.task), moments_of)
    values = {"input": reference, "given": to_json(given), "complete": to_json(found)}
    on_root(context.group, partial(_keep, _file(context, context.task), values))
    return found


def _keep(file: Path, values: dict[str, Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    write_json_atomically(file, values)


class _DeliveredRows:
    """Rows of an open dataset as batches hold them: float64 as float32, and multiplied by a ``scale``."""

    def __init__(self, reader: ArrayReader) -> None:
        self._reader = reader

    def __len__(self) -> int:
        return self._reader.samples

    def __getitem__(self, span: slice, /) -> NDArray[Any]:
        return self._reader.read(span.start, span.stop)
