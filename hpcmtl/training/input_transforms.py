"""The transforms of a network's input in a session: their numbers, kept in the run directory, and a trial."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.outcome import on_root
from hpcmtl.data.mixup import BatchMixup
from hpcmtl.data.sources import selected
from hpcmtl.data.transforming.channel_moments import ChannelMoments, channel_moments, completed
from hpcmtl.data.transforming.own_function import refusal
from hpcmtl.data.transforming.transforms import TransformChain, require_repeatable
from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.kinds import kind_of
from hpcmtl.jobfile.resolve import resolve
from hpcmtl.jobfile.transforms import from_json, is_complete, mixup_of, of_single_samples, shape_problems, to_json
from hpcmtl.networks.input_values import INPUT
from hpcmtl.results.rundir.directory import write_json_atomically
from hpcmtl.training.code_state import counted_calls
from hpcmtl.training.kinds.input_arrays import transform_path
from hpcmtl.training.map_reduce import map_reduce
from hpcmtl.training.step_input import INPUT_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from hpcmtl.arrays import Ints
    from hpcmtl.data.reader import ArrayReader
    from hpcmtl.data.sources import Source
    from hpcmtl.jobfile.schema import Job
    from hpcmtl.jobfile.transforms import Transform
    from hpcmtl.training.session import SessionContext

TRIED = 8
"""Number of train samples that transforms are tried on."""


def transforms_of_training(context: SessionContext, sources: Mapping[str, Source]) -> dict[str, TransformChain]:
    """Returns the transforms of a task that trains by the keys of its sources, after a trial on samples (collective).

    Numbers that are computed from the train samples are kept in the run directory: a task that is resumed, and those
    that run its network, read them there.

    Args:
        context: context of the task.
        sources: sources by key, the inputs of the network among them; all rows of one in memory.

    Raises:
        InputError: the samples cannot have the transforms, or a function of the user's failed; on all ranks.
    """
    found = {}
    for name, given in _of_single_samples(context.job, context.task):
        source, place = sources[INPUT_ROWS + name], _Place(context, context.task, name)
        on_root(context.group, partial(_require_shape, place, given, source))
        complete = given
        if not all(map(is_complete, given)):
            kept = on_root(context.group, partial(_kept, place, given))
            complete = kept or _computed(place, given, source)
        found[source.key] = TransformChain(complete, place.seed)
        on_root(context.group, partial(try_transforms, found[source.key], source))
    return found


def _of_single_samples(job: Job, task: str) -> Iterator[tuple[str, tuple[Transform, ...]]]:
    """Yields the inputs of a task's network that have transforms of single samples, with these."""
    for name, given in kind_of(job, task).transforms(job, task).items():
        if transforms := of_single_samples(given):
            yield name, transforms


def mixup_of_training(context: SessionContext) -> BatchMixup | None:
    """Returns how a task mixes the samples that it trains on; None if it does not."""
    job, task = context.job, context.task
    inputs = kind_of(job, task).transforms(job, task)
    given = next((found for each in inputs.values() if (found := mixup_of(each)) is not None), None)
    keys = tuple(INPUT_ROWS + name for name in inputs)
    return None if given is None else BatchMixup(given.alpha, context.seed("mixup"), keys)


def transforms_of_network(context: SessionContext, producer: str) -> dict[str, TransformChain]:
    """Returns the transforms that samples get before another task's network, by the keys of sources (collective).

    Args:
        context: context of a task that runs this network.
        producer: name of the task that trained it.

    Raises:
        InputError: the run directory has no numbers of them; on all ranks.
    """
    found = {}
    for name, given in _of_single_samples(context.job, producer):
        if not any(each.on == "all" for each in given):
            continue
        place, complete = _Place(context, producer, name), given
        if not all(map(is_complete, given)):
            kept = on_root(context.group, partial(_kept, place, given))
            if kept is None:
                text = f"has no mean and deviation, with which {producer} was trained; restore it from a copy"
                raise InputError([Problem(str(place.file), f"{text} of the run")])
            complete = kept
        found[INPUT_ROWS + name] = TransformChain(complete, place.seed)
    return found


def try_transforms(chain: TransformChain, source: Source) -> None:
    """Tries transforms on the first train samples of an array.

    Raises:
        InputError: one fails, or returns what a network does not take; see `require_repeatable`.
    """
    require_transforms(chain, *first_rows(source))


def require_transforms(chain: TransformChain, rows: NDArray[Any], numbers: Ints) -> None:
    """Tries transforms on some samples; what functions of the user's remember is as before then.

    Raises:
        InputError: see `require_repeatable`; or one counts its calls.
    """
    own = [each.name for each in chain.transforms if ":" in each.name]
    counted = counted_calls(map(resolve, own), lambda: require_repeatable(chain, rows, numbers))
    if counted:
        text = f"change {', '.join(counted)} in each call: every rank calls them for its own samples, and a resumed"
        remedy = "compute from `inputs`, `rows` and `random` alone"
        raise refusal(" and ".join(own), f"{text} task begins with another number of calls; {remedy}")


def first_rows(source: Source) -> tuple[NDArray[Any], Ints]:
    """Returns the first train samples of an array, and their numbers."""
    numbers = selected([source], ["train"])[:TRIED]
    with source.opened() as reader:
        return reader.rows(numbers, lambda: None), numbers


@dataclass(frozen=True)
class _Place:
    """An input of a task's network whose samples get transforms.

    Attributes:
        context: context of a session.
        task: task that trains the network.
        name: name of the input.
    """

    context: SessionContext
    task: str
    name: str

    @property
    def seed(self) -> int:
        """Seed of the random numbers."""
        salt = () if self.name == INPUT else (self.name,)
        return replace(self.context, task=self.task).seed("transform", *salt)

    @property
    def file(self) -> Path:
        """File of the computed numbers; no name of a task has an @."""
        own = "" if self.name == INPUT else f"@{self.name}"
        return self.context.directory.transforms / f"{self.task}{own}.json"

    @property
    def reference(self) -> str:
        """Array that the input reads where the network is trained."""
        return kind_of(self.context.job, self.task).network_inputs(self.context.job, self.task)[self.name]


def _require_shape(place: _Place, given: tuple[Transform, ...], source: Source) -> None:
    """Refuses samples of another task that cannot have the transforms."""
    shape = source.described().datasets[source.dataset].shape
    texts = list(shape_problems(given, shape))
    if texts:
        keys = ".".join(("tasks", place.task, *transform_path(place.name)))
        raise InputError(Problem(keys, text) for text in texts)


def _kept(place: _Place, given: tuple[Transform, ...]) -> tuple[Transform, ...] | None:
    """Returns the transforms with the numbers in a file; None if there is none, or it belongs to others."""
    file = place.file
    if not file.exists():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        is_same = values["input"] == place.reference and values["given"] == to_json(given)
        return from_json(values["complete"]) if is_same else None
    except (OSError, ValueError, LookupError, TypeError) as error:
        text = f"cannot be read ({error}); restore it from a copy, or remove it to compute mean and deviation again"
        raise InputError([Problem(str(file), text)]) from error


def _computed(place: _Place, given: tuple[Transform, ...], source: Source) -> tuple[Transform, ...]:
    """Computes the numbers from the train samples, which the ranks share, and keeps them (collective)."""
    train, group = selected([source], ["train"]), place.context.group

    def moments_of(chain: TransformChain) -> ChannelMoments:
        def moments(rows: NDArray[Any], numbers: Ints) -> ChannelMoments:
            return channel_moments(chain.changed(rows, numbers, None))

        with source.opened() as reader:
            rows = _DeliveredRows(reader)
            return map_reduce(rows, moments, ChannelMoments.merged, group, numbers=train)

    found = completed(given, place.seed, moments_of)
    values = {"input": place.reference, "given": to_json(given), "complete": to_json(found)}
    on_root(group, partial(_keep, place.file, values))
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
