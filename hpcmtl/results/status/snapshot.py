"""What `status.json` adds to the ledger: steps, nodes and ranks, as rank 0 last wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, model_validator

from hpcmtl.results.sinks.terminal import StepProgress

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS_BETWEEN_BEATS = 5.0  # unless the user says otherwise
_PROGRESS = TypeAdapter(StepProgress)
_OF_BEATS = frozenset({"age", "load", "memory_available", "rss", "cpu"})


class _Facts(BaseModel):
    """Facts that are passed on as they were written, with those that are shown checked."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False, frozen=True)


class _Node(_Facts):
    host: str
    ranks: list[int]
    count: int
    age: float = 0.0
    load: float = 0.0
    memory_available: float = 0.0
    rss: float = 0.0
    cpu: float = 0.0

    @model_validator(mode="after")
    def _whole(self) -> _Node:
        if len(self.ranks) != 2 or len(self.model_fields_set & _OF_BEATS) not in {0, len(_OF_BEATS)}:
            raise ValueError("a node has a first and a last rank, and either all of its facts or none")
        return self


class _Beat(_Facts):
    rank: int
    host: str = ""
    age: float = 0.0
    suspect: bool = False


class StatusSnapshot(_Facts):
    """What is in the file.

    Attributes:
        written: seconds since 1970.
        seconds_between_beats: of the ranks.
        tasks: name -> an object; how far its running layer is, is its `progress`.
        nodes: as `hpcmtl status --json` gives them.
        rank_beats: the same.
    """

    written: float = 0.0
    seconds_between_beats: float = SECONDS_BETWEEN_BEATS
    tasks: dict[str, dict[str, Any]] = {}
    nodes: list[dict[str, Any]] = []
    rank_beats: list[dict[str, Any]] = []

    @property
    def progress(self) -> list[StepProgress]:
        """How far the running layers are."""
        told = {name: task.get("progress") for name, task in self.tasks.items()}
        return [_PROGRESS.validate_python({**each, "task": name}) for name, each in told.items() if each]


def live_of(values: Mapping[str, Any]) -> StatusSnapshot:
    """Take what `status.json` holds; of a file that was damaged nothing, as the ledger alone says what is done."""
    try:
        live = StatusSnapshot.model_validate(values)
        _ = live.progress
        for node in live.nodes:
            _Node.model_validate(node)
        for beat in live.rank_beats:
            _Beat.model_validate(beat)
    except (ValidationError, TypeError):
        return StatusSnapshot()
    return live
