"""Comparison of runs: the settings in which they differ, and what came of them; mean and spread over seeds."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError, Problem, nearest
from hpcmtl.jobfile.metrics import better_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpcmtl.results.run_state import RunState

SECONDS = "seconds"
RANK_SECONDS = "rank_seconds"
_NAME = "job"
_SAID = 8  # most settings or measurements that a message names


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One run, as it is compared.

    Attributes:
        name: name of the run.
        status: status of the run, see `RunState.status`.
        settings: values of its job by key with dots.
        measured: metrics as ``TASK.METRIC``, `seconds` of all attempts and `rank_seconds` of all layers.
    """

    name: str
    status: str
    settings: Mapping[str, Any]
    measured: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class SampleMean:
    """Mean and deviation of one measurement over some runs.

    Attributes:
        mean: arithmetic mean.
        deviation: sample standard deviation (divisor n - 1); None for a single run.
        count: number of runs that have the measurement.
    """

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a comparison: a run, or several that differ in the keys alone over which they are taken together.

    Attributes:
        names: names of its runs.
        statuses: their statuses.
        settings: values of the settings that differ between rows; a key that a job does not have is left out.
        measured: mean and deviation of each measurement.
    """

    names: tuple[str, ...]
    statuses: tuple[str, ...]
    settings: Mapping[str, Any]
    measured: Mapping[str, SampleMean]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs side by side.

    Attributes:
        settings: keys in which the rows differ, in the order of the job file.
        measurements: names of all measurements.
        rows: rows, in the order of the runs or sorted.
    """

    settings: tuple[str, ...]
    measurements: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def seeds(self) -> bool:
        """True if rows differ in the seed, so that their mean over it could be taken."""
        return "seed" in self.settings


def compared_run(name: str, job: Mapping[str, Any], state: RunState) -> ComparedRun:
    """Returns a run as it is compared.

    Args:
        name: name of the run.
        job: values of its job, with defaults filled in.
        state: its state by the ledger.
    """
    measured = {
        f"{task}.{metric}": value
        for task, past in state.tasks.items()
        for metric, value in (past.outcomes[-1].metrics.items() if past.complete and past.outcomes else ())
        if value is not None and not math.isnan(value)  # a metric without a value is no measurement
    }
    measured |= {SECONDS: state.seconds, RANK_SECONDS: state.rank_seconds}
    settings = {key: value for key, value in _flat(job, "") if key != _NAME}
    return ComparedRun(name=name, status=state.status, settings=settings, measured=measured)


def compare(runs: Sequence[ComparedRun], over: Iterable[str] = ()) -> Comparison:
    """Compares runs.

    Args:
        runs: the runs.
        over: keys of settings; runs that differ in these alone become one row, with mean and spread.

    Raises:
        InputError: the runs do not differ in a key of `over`.
    """
    keys = _differing(runs)
    together = set(over)
    for key in together - set(keys):
        raise InputError([Problem(f"--over {key}", f"the runs do not differ in it{_hint(key, keys)}")])
    left = tuple(key for key in keys if key not in together)
    groups: dict[str, list[ComparedRun]] = {}
    for run in runs:
        groups.setdefault(repr([run.settings.get(key) for key in left]) if together else run.name, []).append(run)
    names = dict.fromkeys(name for run in runs for name in run.measured)
    return Comparison(
        settings=left,
        measurements=tuple(sorted(names, key=lambda name: name in {SECONDS, RANK_SECONDS})),
        rows=tuple(_row(group, left) for group in groups.values()),
    )


def ordered(comparison: Comparison, by: str) -> Comparison:
    """Returns a comparison whose rows are sorted by a measurement, the best first, or by a setting.

    Larger is better for metrics that say so, smaller for all others and for times. Rows without a value come last.

    Raises:
        InputError: no row has a measurement or setting of this name.
    """
    known = (*comparison.measurements, *comparison.settings)
    if by not in known:
        raise InputError([Problem(f"--sort {by}", f"no run has it{_hint(by, known)}")])
    having = [row for row in comparison.rows if _value(row, by) is not None]
    rest = [row for row in comparison.rows if _value(row, by) is None]
    numbers = all(isinstance(_value(row, by), int | float) for row in having)
    best_is_largest = by in comparison.measurements and better_of(by) == "higher"
    having.sort(key=lambda row: _value(row, by) if numbers else str(_value(row, by)), reverse=best_is_largest)
    return replace(comparison, rows=(*having, *rest))


def _value(row: Row, by: str) -> Any:
    mean = row.measured.get(by)
    return row.settings.get(by) if mean is None else mean.mean


def _hint(name: str, known: Sequence[str]) -> str:
    close = nearest(name, known)
    some = ", ".join(known[:_SAID])
    return close or (f"; there are {some}{' ...' if len(known) > _SAID else ''}" if known else "")


def _row(runs: Sequence[ComparedRun], keys: Sequence[str]) -> Row:
    names = dict.fromkeys(name for run in runs for name in run.measured)
    return Row(
        names=tuple(run.name for run in runs),
        statuses=tuple(dict.fromkeys(run.status for run in runs)),
        settings={key: runs[0].settings[key] for key in keys if key in runs[0].settings},
        measured={name: _mean([run.measured[name] for run in runs if name in run.measured]) for name in names},
    )


def _mean(values: Sequence[float]) -> SampleMean:
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return SampleMean(mean=statistics.fmean(values), deviation=deviation, count=len(values))


def _differing(runs: Sequence[ComparedRun]) -> tuple[str, ...]:
    """Returns the keys whose values are not the same in all runs."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    absent = object()
    first = runs[0].settings if runs else {}
    return tuple(
        key for key in keys if any(run.settings.get(key, absent) != first.get(key, absent) for run in runs[1:])
    )


def _flat(value: Any, path: str) -> Iterable[tuple[str, Any]]:
    """Yields the values below a mapping by key with dots; lists are values."""
    if not isinstance(value, dict) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from _flat(inner, f"{path}.{key}" if path else str(key))
