"""Notes on what depends on the number of ranks in a training, each told once a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcmtl.results.events import TaskNoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcmtl.training.session import SessionContext
    from hpcmtl.training.traits import LearnerTraits

_FEW_ROWS = 8
_GUIDE = "see docs/guides/number_of_ranks.md"


def note_width(
    context: SessionContext, traits: LearnerTraits, batch_size: int, noted: frozenset[str]
) -> frozenset[str]:
    """Records a note for each property of a network that makes results depend on the width of the group.

    Args:
        context: context of the session.
        traits: properties of the learner.
        batch_size: samples of a step, over the group.
        noted: names of the notes that the task has had.

    Returns:
        The names of all notes up to now, the same on all ranks.
    """
    if context.group.size == 1:
        return noted
    notes = dict(_notes(traits, batch_size, context.group.size))
    for name, message in notes.items():
        if context.group.rank == 0 and name not in noted:
            context.record(TaskNoted(task=context.task, text=f"{message}; {_GUIDE}"))
    return noted | notes.keys()


def _notes(traits: LearnerTraits, batch_size: int, ranks: int) -> Iterator[tuple[str, str]]:
    if traits.batch_statistics:
        rows = batch_size // ranks
        few = ", too few for reliable statistics: use a larger batch or fewer ranks" if rows < _FEW_ROWS else ""
        text = f"batch normalisation uses the rows of each rank by themselves ({rows} of a batch of {batch_size}{few})"
        yield "batch statistics", f"{text}, so that results depend on the number of ranks"
    if traits.random_network:
        text = "its network or loss may draw random numbers (dropout), and each rank draws its own"
        yield "random numbers", f"{text}: results depend on the number of ranks, and repeat on the same number"
