"""Settings of a batch job and their sources: command line > environment > job file > site > default."""

from __future__ import annotations

import enum
import os
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError
from hpcmtl.jobfile.explanations import findings
from hpcmtl.jobfile.load import locate
from hpcmtl.jobfile.slurm import JobSlurm, Site, Slurm, time_text
from hpcmtl.launch.slurm.sites import find_site, read_site
from hpcmtl.networks.strict import is_number_in_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.errors import Problem

PREFIX, SITE = "HPCMTL_SLURM_", "HPCMTL_SITE"
_TIMES = ("time", "max_time")
_NUMBERS = frozenset(key for key, field in Slurm.model_fields.items() if field.annotation == int | None)
_LONGEST_STOP, _SHORTEST_STOP, _STOP_WITHOUT_LIMIT = 300, 60, 120  # seconds


class Level(enum.IntEnum):
    """Source of a setting; a higher level overrides a lower one."""

    DEFAULT = 0
    SITE = 1
    JOB_FILE = 2
    ENVIRONMENT = 3
    COMMAND_LINE = 4


@dataclass(frozen=True)
class SettingSource:
    """Holds the values given at one level.

    Attributes:
        level: the level.
        name: description for messages, with a placeholder for the key: ``command line (--{})``.
        values: key -> value, only for keys that are given.
    """

    level: Level
    name: str
    values: Mapping[str, Any]

    def location(self, key: str) -> str:
        """Returns a description of the exact place of a key."""
        spelt = {Level.ENVIRONMENT: key.upper(), Level.COMMAND_LINE: key.replace("_", "-")}
        return self.name.replace("{}", spelt.get(self.level, key))


@dataclass(frozen=True)
class Settings:
    """Holds all sources, the lowest level first."""

    sources: tuple[SettingSource, ...]

    def __getitem__(self, key: str) -> Any:
        """Returns the effective value of a key, or None."""
        source = self.source(key)
        return None if source is None else source.values[key]

    def source(self, key: str) -> SettingSource | None:
        """Returns the source of the effective value, or None."""
        return next((source for source in reversed(self.sources) if key in source.values), None)

    def number(self, key: str) -> int:
        """Returns the value of a numeric key; 0 if it is not given."""
        return int(self[key] or 0)

    def level(self, key: str) -> Level:
        """Returns the level of the effective value; that of a default if it is not given."""
        source = self.source(key)
        return Level.DEFAULT if source is None else source.level

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Returns key -> ``{"value": ..., "from": ...}``; extra and omitted directives of all levels are joined."""
        found: dict[str, dict[str, Any]] = {}
        for key in sorted({key for source in self.sources for key in source.values}):
            sources = [source for source in self.sources if key in source.values]
            value = sources[-1].values[key]
            if key in {"extra", "omit"}:
                value = [entry for source in sources for entry in source.values[key]]
            else:
                value, sources = time_text(value) if key in _TIMES else value, sources[-1:]
            found[key] = {"value": value, "from": ", ".join(source.location(key) for source in sources)}
        return found


def gather(
    options: Mapping[str, Any], job_values: Any, job_file: str, environ: Mapping[str, str] = os.environ
) -> Settings:
    """Collects the settings of all levels.

    Args:
        options: options of the command line by key; None if not given. `site` names the profile.
        job_values: unchecked value of `slurm` in the job file, whose problems the check of the job file reports.
        job_file: name of the job file, for messages.
        environ: the environment, with HPCMTL_SLURM_TIME=1h and the like.

    Raises:
        InputError: options, environment or site profile are invalid; lists all problems.
    """
    given = {key: value for key, value in options.items() if value is not None and value != [] and key != "site"}
    from_environ = {key.removeprefix(PREFIX).lower(): text for key, text in environ.items() if key.startswith(PREFIX)}
    from_environ = {key: _split(key, text) for key, text in from_environ.items() if text}
    in_file = job_values if isinstance(job_values, dict) and not findings(JobSlurm, job_values) else {}
    problems = _problems(given, "command line", "--{}") + _problems(from_environ, "environment", PREFIX + "{}")
    if problems:
        raise InputError(problems)
    name = options.get("site") or environ.get(SITE) or in_file.get("site")
    file = find_site(name, environ)
    site = {} if file is None else _given(Site, read_site(file).model_dump(exclude_none=True))
    in_container = "container" in {*site, *in_file, *from_environ, *given}
    return Settings(
        (
            SettingSource(Level.DEFAULT, "default", _defaults(in_container=in_container)),
            SettingSource(Level.SITE, f"site profile {file}", site),
            SettingSource(Level.JOB_FILE, f"job file {job_file} (slurm.{{}})", _given(JobSlurm, in_file)),
            SettingSource(Level.ENVIRONMENT, f"environment ({PREFIX}{{}})", _given(Slurm, from_environ)),
            SettingSource(Level.COMMAND_LINE, "command line (--{})", _given(Slurm, given)),
        )
    )


def stop_seconds(limit: int | None) -> int:
    """Returns the seconds before the time limit at which ranks are asked to write checkpoints.

    The value is a tenth of the limit, at least one and at most five minutes, but never more than half of the limit. It
    is two minutes for an unknown limit of the site. Slurm may send the signal up to a minute earlier.
    """
    if limit is None:
        return _STOP_WITHOUT_LIMIT
    return max(min(max(limit // 10, _SHORTEST_STOP), _LONGEST_STOP, limit // 2), 1)


def _defaults(*, in_container: bool) -> dict[str, Any]:
    return {
        "launcher": "mpirun",
        "requeues": 5,  # bounded, and shown at submission
        "restart": "requeue",
        "python": "python3" if in_container else sys.executable,
    }


def _given(model: type[Slurm], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values as parsed by the model, without open ones and without the name of the site."""
    read = model.model_validate(raw)
    given = {key: getattr(read, key) for key in type(read).model_fields if key != "site"}
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in given.items() if value is not None
    }


def _split(key: str, text: str) -> Any:
    """Returns the value that a text of the environment has under a key: a number, a list, or the text itself."""
    if key in {"modules", "omit"}:
        return tuple(text.replace(",", " ").split())
    if key in _NUMBERS and is_number_in_text(text):
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else float(text)
    return tuple(text.splitlines()) if key in {"setup", "extra"} else text


def _problems(values: Mapping[str, Any], where: str, form: str) -> list[Problem]:
    def named(path: Iterable[str]) -> tuple[str, ...]:
        first, *_ = path
        return (form.format(first.upper() if form.startswith(PREFIX) else first.replace("_", "-")),)

    return locate([(named(path), message) for path, message in findings(Slurm, dict(values))], where)
