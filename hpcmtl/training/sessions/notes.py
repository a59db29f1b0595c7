"""Notes on what depends on the number of ranks in a training, each told once a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.results.events import TaskNoted
from hpcmtl.training.sessions.parts import SessionPart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hpcmtl.training.checkpointing.content import Checkpoint
    from hpcmtl.training.session import SessionContext
    from hpcmtl.training.step_comparison import StepComparison
    from hpcmtl.training.traits import LearnerTraits

_FEW_ROWS = 8
_GUIDE = "see docs/guides/number_of_ranks.md"
_COUPLED = (
    "its network or loss computes a sample's loss from other rows of the batch as well, and each rank has only its own "
    f"rows: results depend on the number of ranks, and `ranks: 1` keeps the task on one; {_GUIDE}"
)

_BY_ROWS = "batch normalisation, or another buffer that passes change, uses"
_NO_SUMS = (
    "its gradients are no sums over the samples (a hook or Function that clips or normalises them, or a value in the "
    f"loss that passes change), and each rank has only its own rows: results depend on the number of ranks; {_GUIDE}"
)
_NO_MULTIPLES = (
    "its gradients are no multiples of a factor on the loss (a Function or operator that clips or normalises them), "
    "and losses are divided by the size of the batch before the backward pass, where the framework's trainer divides "
    "gradients after it: bounds are of the mean over the batch; `clip_norm` of the optimizer clips the whole gradient"
)
_RANDOM = (
    "its network or loss draws random numbers (dropout), or has code that cannot be looked into, and each rank draws "
    f"its own: results may depend on the number of ranks, and repeat on the same number; {_GUIDE}"
)


class Notes(SessionPart):
    """Records the notes of one task, each once.

    Attributes:
        names: names of the notes up to now, the same on all ranks.
    """

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()

    def facts(self) -> Mapping[str, Any]:
        """See `SessionPart`."""
        return {"noted": sorted(self.names)}

    def load(self, found: Checkpoint) -> None:
        """See `SessionPart`; what was told before a task begins again is not told again."""
        self.names = frozenset(found.facts.get("noted", ())) if found.facts else self.names

    def width(self, context: SessionContext, traits: LearnerTraits, batch_size: int) -> None:
        """Records a note for each property of a network that makes results depend on the width of the group.

        Args:
            context: context of the session.
            traits: properties of the learner.
            batch_size: samples of a step, over the group.
        """
        if context.group.size > 1:
            self._tell(context, dict(_notes(traits, batch_size, context.group.size)))

    def validation(self, context: SessionContext, missing: Sequence[str]) -> None:
        """Records the metrics that are not computed, since the data turned out to have no validation samples."""
        if missing:
            text = f"the data have no samples in the val split: {', '.join(missing)} missing in the results"
            remedy = "give some samples the split val (1), or leave out `metrics`"
            self._tell(context, {"no validation": f"{text}; {remedy}"})

    def comparison(self, context: SessionContext, found: StepComparison) -> None:
        """Records what the examination of the first step found, and of the width of the group if that is above 1."""
        notes = {}
        if found.compiled:
            notes["compiled"] = found.compiled
        if found.attributes:
            notes["attributes"] = found.attributes
        if not found.multiples:
            notes["no multiples"] = _NO_MULTIPLES
        if context.group.size > 1:
            if found.coupled:
                notes["coupled rows"] = _COUPLED
            if not found.sums:
                notes["no sums"] = _NO_SUMS
            if found.draws:
                notes["random numbers"] = _RANDOM
        self._tell(context, notes)

    def skipped_steps(self, context: SessionContext, skipped: int, steps: int, *, last: bool) -> None:
        """Records that steps made no update, because a gradient was too large for fp16.

        Args:
            context: context of the session.
            skipped: number of these steps.
            steps: number of all steps up to now.
            last: whether they are all of the task; at its end they are told once more.
        """
        if skipped:
            of_all = f"{steps} steps" if last else f"first {steps} steps"
            text = f"{skipped} of its {of_all} made no update: a gradient was too large for fp16"
            remedy = "`compression: none` and `precision: fp32` make all of them"
            self._tell(
                context,
                {"all skipped steps" if last else "skipped steps": f"{text}, and the loss scale was halved; {remedy}"},
            )

    def _tell(self, context: SessionContext, notes: Mapping[str, str]) -> None:
        for name, text in notes.items():
            if context.group.rank == 0 and name not in self.names:
                context.record(TaskNoted(task=context.task, text=text))
        self.names |= notes.keys()


def _notes(traits: LearnerTraits, batch_size: int, ranks: int) -> Iterator[tuple[str, str]]:
    if traits.batch_statistics:
        rows = batch_size // ranks
        few = ", too few for reliable statistics: use a larger batch or fewer ranks" if rows < _FEW_ROWS else ""
        text = f"{_BY_ROWS} the rows of each rank by themselves ({rows} of a batch of {batch_size}{few})"
        yield "batch statistics", f"{text}, so that results depend on the number of ranks; {_GUIDE}"
