"""Parsing of HPCMTL_FAULT."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import EnvironmentUnfitError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = "HPCMTL_FAULT"
KINDS = ("kill", "stop", "slow", "raise", "full", "truncate", "flip")
STAGES = (
    "begun",
    "half",
    "closed",
    "before-rename",
    "after-rename",
    "done",
)  # of an atomic write, in order
ALL_RANKS = -1
FILES = {
    "events.jsonl": "ledger",
    "results.json": "results",
    "status.json": "status",
    "plan.json": "plan",
    "environment.json": "environment",
    "job.yaml": "job",
}
WRITES = ("checkpoint", "artifact", *FILES.values())
DAMAGE = ("truncate", "flip")
_OF_WRITES = ("full", "truncate")  # kinds that apply only to files


@dataclass(frozen=True)
class Fault:
    """Describes one fault.

    Attributes:
        text: original text.
        kind: one of `KINDS`.
        rank: rank in the world; `ALL_RANKS` for every rank, None for the first rank that reaches the failpoint.
        task: name of the task; empty for any.
        layer: layer of the task; None for any.
        step: number of steps since the layer was taken up, from 0; None for the moment before the first step.
        write: kind of file, one of `WRITES`; empty for a fault in a step.
        stage: stage of writing, one of `STAGES`.
        nth: number of the matching write, counted from 1 by each rank in each attempt.
        seconds: duration of a ``slow`` fault.
        attempt: attempt of the run; None for any.
        every: True if the fault happens every time.
    """

    text: str
    kind: str
    rank: int | None = None
    task: str = ""
    layer: int | None = None
    step: int | None = None
    write: str = ""
    stage: str = ""
    nth: int = 1
    seconds: float = 0.0
    attempt: int | None = None
    every: bool = False


def requested(environ: Mapping[str, str] = os.environ) -> tuple[Fault, ...]:
    """Returns the faults in HPCMTL_FAULT: ``KIND:KEY=VALUE,...;KIND:...``, e.g. ``kill:rank=1,task=digit,step=5``.

    A word without ``=`` is ``every`` or a kind of file: ``flip:checkpoint,task=digit,nth=2``.

    Raises:
        EnvironmentUnfitError: the value has another form; the message lists what is allowed.
    """
    parts = [part.strip() for part in environ.get(VARIABLE, "").split(";")]
    return tuple(_parse(part) for part in parts if part)


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _rank(text: str) -> int:
    return ALL_RANKS if text == "all" else _whole(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 3600:
        raise ValueError(text)
    return seconds


_VALUES: dict[str, tuple[Callable[[str], Any], str]] = {
    "rank": (_rank, "a rank, or all"),
    "task": (str, "the name of a task"),
    "layer": (_whole, "a number of a layer, from 0"),
    "step": (_whole, "a number of steps, from 0"),
    "write": (str, f"one of {', '.join(WRITES)}"),
    "stage": (str, f"one of {', '.join(STAGES)}"),
    "nth": (_whole, "a number, from 1"),
    "seconds": (_seconds, "seconds, up to 3600"),
    "attempt": (_whole, "the number of an attempt, from 1"),
}
_OF_STEPS_ALONE, _OF_FILES_ALONE = ("layer", "step"), ("stage", "nth")


def _parse(text: str) -> Fault:
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        raise _refused(text, f"there is no fault {kind!r}{nearest(kind, KINDS)}")
    values: dict[str, Any] = {}
    for word in filter(None, (word.strip() for word in rest.split(","))):
        key, equals, value = word.partition("=")
        if word == "every":
            values["every"] = True
            continue
        if not equals and word in WRITES:
            key, value = "write", word
        if key not in _VALUES:
            raise _refused(text, f"found {word!r}{nearest(key, (*_VALUES, 'every'))}")
        read, wanted = _VALUES[key]
        try:
            values[key] = read(value)
        except ValueError:
            raise _refused(text, f"{key} is {value!r}; write {wanted}") from None
    return _checked(text, kind, values)


def _checked(text: str, kind: str, values: dict[str, Any]) -> Fault:
    """Refuses combinations that do not fit, and adds defaults."""
    for key, valid in {"write": WRITES, "stage": STAGES}.items():
        if key in values and values[key] not in valid:
            raise _refused(text, f"{key} is {values[key]!r}{nearest(values[key], valid)}")
    if (kind in _OF_WRITES or (kind == "flip" and "step" not in values)) and "write" not in values:
        raise _refused(text, f"{kind} needs `write`: {_VALUES['write'][1]}")
    strangers = [key for key in (_OF_STEPS_ALONE if "write" in values else _OF_FILES_ALONE) if key in values]
    strangers += ["stage"] if kind in {"full", *DAMAGE} and "stage" in values else []
    if strangers:
        raise _refused(text, f"`{strangers[0]}` does not go with {kind} of a {'file' if 'write' in values else 'step'}")
    if (kind == "slow") != (values.get("seconds", 0) > 0):
        raise _refused(text, "`seconds`, above 0, belongs to slow only")
    if values.get("nth", 1) < 1 or values.get("attempt", 1) < 1:
        raise _refused(text, "`nth` and `attempt` count from 1")
    if "write" in values:
        values.setdefault("stage", "done" if kind in DAMAGE else "begun" if kind == "slow" else "half")
    if kind == "slow":
        values["every"] = True
    return Fault(text, kind, **values)


def _refused(text: str, why: str) -> EnvironmentUnfitError:
    kinds = f"{', '.join(KINDS)}; keys are {', '.join(_VALUES)}, every"
    return EnvironmentUnfitError(f"{VARIABLE}: {text!r}: {why}. Write KIND:KEY=VALUE,...;... where kinds are {kinds}")
