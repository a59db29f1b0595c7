"""The data of a training task with several sources: their rows as those of one file, and its mixed epochs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpcmtl.data.joined_file import ConstantRows, JoinedFile, JoinedPart, RepeatedRow, StoredRows
from hpcmtl.data.mixed_epochs import MixedEpochs
from hpcmtl.data.mixture import UnfitMixtureError, epoch_steps
from hpcmtl.data.sources import Source, check_sources, selected
from hpcmtl.errors import InputError, Problem
from hpcmtl.training.evaluation.tokens import MASK
from hpcmtl.training.kinds.several_sources import MIXTURE, mixture_of
from hpcmtl.training.loop import TARGET
from hpcmtl.training.step_input import INPUT_ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hpcmtl.jobfile.views import JobView
    from hpcmtl.networks.objective import Objective
    from hpcmtl.training.kinds.schemas import Trained
    from hpcmtl.training.session import SessionContext

WEIGHTS = "weights"
"""Key of the sample weights."""


@dataclass(frozen=True)
class SourceRows:
    """Holds the arrays of one source of samples: the sources of its rows by key."""

    view: JobView
    sources: Mapping[str, Source]

    @property
    def first(self) -> Source:
        """An array that has the split of all."""
        return next(iter(self.sources.values()))


def mixed_sources(
    context: SessionContext, rows: Sequence[SourceRows], objectives: Sequence[Objective]
) -> dict[str, Source]:
    """Returns the arrays of several sources as those of one file, by key.

    Where a source has no targets of an objective, all of them are missing by the mask of the objective. So the trunk
    gets the samples of all sources, and each head its own, by what a step does with missing labels.

    Raises:
        InputError: the arrays of one source do not belong together, or samples differ in shape; on all ranks.
    """
    for each in rows:
        check_sources(list(each.sources.values()))
    _require_one_shape(context, rows)
    inputs = [key for key in rows[0].sources if key.startswith(INPUT_ROWS)]
    arrays: dict[str, tuple[JoinedPart, ...]] = {
        key: tuple(StoredRows(each.sources[key]) for each in rows) for key in inputs
    }
    for objective in objectives:
        target, mask = TARGET + objective.name, MASK + objective.name
        owner = next(each.sources[target] for each in rows if target in each.sources)
        arrays[target] = tuple(
            StoredRows(each.sources[target]) if target in each.sources else RepeatedRow(owner) for each in rows
        )
        if any(target not in each.sources or mask in each.sources for each in rows):
            arrays[mask] = tuple(
                StoredRows(each.sources[mask]) if mask in each.sources else ConstantRows(float(target in each.sources))
                for each in rows
            )
    if any(WEIGHTS in each.sources for each in rows):
        arrays[WEIGHTS] = tuple(
            StoredRows(each.sources[WEIGHTS]) if WEIGHTS in each.sources else ConstantRows(1.0) for each in rows
        )
    splits = [each.first.split() for each in rows]
    place = Path(f"tasks.{context.task}.sources")
    joined = JoinedFile(place, tuple(map(len, splits)), arrays, np.concatenate(splits))
    return {key: Source(key, place, key, joined=joined) for key in arrays}


def mixed_epochs(context: SessionContext, task: Trained, rows: Sequence[SourceRows]) -> MixedEpochs:
    """Returns the epochs of a task with several sources.

    Raises:
        InputError: a source has no sample to train on, or too few for the epochs that are asked for; on all ranks.
    """
    sizes = [len(selected([each.first], ["train"])) for each in rows]
    assert task.batch_size is not None, "defaults are filled in"
    mixture = mixture_of(task, task.batch_size, sizes)
    try:
        epoch_steps(mixture)
    except UnfitMixtureError as error:
        raise InputError([Problem(f"tasks.{context.task}.{MIXTURE}", str(error))]) from error
    places = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    return MixedEpochs(mixture, tuple(places))


def _require_one_shape(context: SessionContext, rows: Sequence[SourceRows]) -> None:
    """Refuses arrays of sources, some of which other tasks made, that differ in the shape of a sample."""
    keys = dict.fromkeys(key for each in rows for key in each.sources if key.startswith((INPUT_ROWS, TARGET)))
    problems = []
    for key in keys:
        sources = [(each.view, each.sources[key]) for each in rows if key in each.sources]
        shapes = [source.described().datasets[source.dataset].shape for _, source in sources]
        for (view, source), shape in zip(sources, shapes, strict=True):
            if shape != shapes[0]:
                first = sources[0][1]
                text = (
                    f"{source.path}: {source.dataset} has samples of shape {shape}, but {first.path}: {first.dataset}"
                )
                place = ".".join(("tasks", context.task, *view.here))
                problems.append(Problem(place, f"{text} of shape {shapes[0]}; a network takes samples of one shape"))
    if problems:
        raise InputError(problems)
