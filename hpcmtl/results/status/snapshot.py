"""The contents of `status.json` beyond the ledger: steps, nodes and ranks, as rank 0 last wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from hpcmtl.results.step_progress import StepProgress

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS_BEFORE_SUSPECT = 30.0
"""Seconds without a sign after which a run is silent, for a run whose rank 0 has not written another number."""

# Keys of earlier versions. Each is an exception to the list of retired words in tests/architecture/test_names.py.
_RENAMED_KEYS = {"rank_beats": "rank_heartbeats", "seconds_between_beats": "seconds_between_heartbeats"}

_PROGRESS = TypeAdapter(StepProgress)
_SHARE: TypeAdapter[float] = TypeAdapter(Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)])
_OF_HEARTBEATS = frozenset({"age", "load", "memory_available", "rss", "cpu"})


class _Facts(BaseModel):
    """Base class of facts that are passed on as they were written; the fields that are shown are checked."""

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
        if len(self.ranks) != 2 or len(self.model_fields_set & _OF_HEARTBEATS) not in {0, len(_OF_HEARTBEATS)}:
            raise ValueError("a node has a first and a last rank, and either all of its facts or none")
        return self


class _RankHeartbeat(_Facts):
    rank: int
    host: str = ""
    age: float = 0.0
    suspect: bool = False


class StatusSnapshot(_Facts):
    """The contents of `status.json` that the ledger does not have.

    Attributes:
        written: seconds since 1970.
        suspect_after: seconds without a heartbeat after which rank 0 suspects a rank.
        tasks: tasks by name; the progress of a running layer is in `progress`.
        nodes: facts of the nodes, as `hpcmtl status --json` gives them.
        rank_heartbeats: last heartbeats of the ranks, as `hpcmtl status --json` gives them.
    """

    written: float = 0.0
    suspect_after: float = SECONDS_BEFORE_SUSPECT
    tasks: dict[str, dict[str, Any]] = {}
    nodes: list[dict[str, Any]] = []
    rank_heartbeats: list[dict[str, Any]] = []

    @property
    def progress(self) -> list[StepProgress]:
        """Progress of the running layers."""
        found = {name: task.get("progress") for name, task in self.tasks.items()}
        return [_PROGRESS.validate_python({**each, "task": name}) for name, each in found.items() if each]

    @property
    def kept(self) -> dict[tuple[str, int], float]:
        """Part of the next layer that a stop has left in its checkpoint, by task and number of finished layers."""
        told = {name: task for name, task in self.tasks.items() if "kept" in task}  # not by earlier versions
        return {(name, int(task["layers_done"])): _SHARE.validate_python(task["kept"]) for name, task in told.items()}


def live_of(values: Mapping[str, Any]) -> StatusSnapshot:
    """Returns the checked contents of `status.json`; empty ones for a damaged file, as the ledger is the authority."""
    values = {_RENAMED_KEYS.get(key, key): value for key, value in values.items()}
    interval = values.get("seconds_between_heartbeats")
    if "suspect_after" not in values and isinstance(interval, float):  # of a version without `suspect_after`
        values["suspect_after"] = 6 * interval
    try:
        live = StatusSnapshot.model_validate(values)
        _ = live.progress, live.kept
        for node in live.nodes:
            _Node.model_validate(node)
        for each in live.rank_heartbeats:
            _RankHeartbeat.model_validate(each)
    except (ValidationError, TypeError, KeyError, ValueError):
        return StatusSnapshot()
    return live
