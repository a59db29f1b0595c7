"""Where each setting of a batch job comes from: command line > environment > job file > site > default."""

from __future__ import annotations

import enum
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import findings, locate
from hpcmtl.jobfile.slurm import JobSlurm, Site, Slurm, time_text
from hpcmtl.launch.slurm.sites import find_site, read_site

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpcmtl.errors import Problem

PREFIX, SITE = "HPCMTL_SLURM_", "HPCMTL_SITE"
_TIMES = ("time", "max_time")
_LONGEST_STOP, _SHORTEST_STOP, _STOP_WITHOUT_LIMIT = 300, 60, 120  # seconds


class Level(enum.IntEnum):
    """Who says it; the higher has the word."""

    DEFAULT = 0
    SITE = 1
    JOB_FILE = 2
    ENVIRONMENT = 3
    COMMAND_LINE = 4


@dataclass(frozen=True)
class SettingSource:
    """What one level says.

    Attributes:
        level: whose word it is.
        name: for people, with a place for the key: ``command line (--{})``.
        values: key -> value, without what is left open.
    """

    level: Level
    name: str
    values: Mapping[str, Any]

    def of(self, key: str) -> str:
        """Where exactly a key stands."""
        spelt = {Level.ENVIRONMENT: key.upper(), Level.COMMAND_LINE: key.replace("_", "-")}
        return self.name.replace("{}", spelt.get(self.level, key))


@dataclass(frozen=True)
class Settings:
    """All sources, the lowest first."""

    sources: tuple[SettingSource, ...]

    def __getitem__(self, key: str) -> Any:
        """The value that counts; None if nobody says one."""
        source = self.source(key)
        return None if source is None else source.values[key]

    def source(self, key: str) -> SettingSource | None:
        """Who says the value that counts."""
        return next((source for source in reversed(self.sources) if key in source.values), None)

    def number(self, key: str) -> int:
        """The value of a key that is a number; 0 if nobody says one."""
        return int(self[key] or 0)

    def level(self, key: str) -> Level:
        """Whose word a value is; that of a default if nobody says one."""
        source = self.source(key)
        return Level.DEFAULT if source is None else source.level

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Each key that has a value -> ``{"value": ..., "from": ...}``; the directives of all levels add up."""
        told: dict[str, dict[str, Any]] = {}
        for key in sorted({key for source in self.sources for key in source.values}):
            saying = [source for source in self.sources if key in source.values]
            value = saying[-1].values[key]
            if key in {"extra", "omit"}:
                value = [entry for source in saying for entry in source.values[key]]
            else:
                value, saying = time_text(value) if key in _TIMES else value, saying[-1:]
            told[key] = {"value": value, "from": ", ".join(source.of(key) for source in saying)}
        return told


def gather(
    options: Mapping[str, Any], job_values: Any, job_file: str, environ: Mapping[str, str] = os.environ
) -> Settings:
    """Bring together what all levels say.

    Args:
        options: of the command line, by key; None where not given. `site` names the profile.
        job_values: what the job file has under `slurm`, unchecked; what is wrong with it is the job file's check's.
        job_file: its name, for people.
        environ: the environment; HPCMTL_SLURM_TIME=1h and the like.

    Raises:
        InputError: everything that is wrong with options, environment and site profile.
    """
    given = {key: value for key, value in options.items() if value is not None and value != [] and key != "site"}
    spoken = {key.removeprefix(PREFIX).lower(): text for key, text in environ.items() if key.startswith(PREFIX)}
    spoken = {key: _split(key, text) for key, text in spoken.items() if text}
    in_file = job_values if isinstance(job_values, dict) and not findings(JobSlurm, job_values) else {}
    problems = _problems(given, "command line", "--{}") + _problems(spoken, "environment", PREFIX + "{}")
    if problems:
        raise InputError(problems)
    name = options.get("site") or environ.get(SITE) or in_file.get("site")
    file = find_site(name, environ)
    site = {} if file is None else _said(Site, read_site(file).model_dump(exclude_none=True))
    return Settings(
        (
            SettingSource(
                Level.DEFAULT, "default", _defaults(in_container="container" in {*site, *in_file, *spoken, *given})
            ),
            SettingSource(Level.SITE, f"site profile {file}", site),
            SettingSource(Level.JOB_FILE, f"job file {job_file} (slurm.{{}})", _said(JobSlurm, in_file)),
            SettingSource(Level.ENVIRONMENT, f"environment ({PREFIX}{{}})", _said(Slurm, spoken)),
            SettingSource(Level.COMMAND_LINE, "command line (--{})", _said(Slurm, given)),
        )
    )


def stop_seconds(limit: int | None) -> int:
    """Seconds before the time limit at which ranks are asked to write checkpoints.

    A tenth of the limit within one and five minutes, but never more than half of it; two minutes where the limit is the
    site's, and so unknown. Slurm may send the signal up to a minute earlier.
    """
    if limit is None:
        return _STOP_WITHOUT_LIMIT
    return max(min(max(limit // 10, _SHORTEST_STOP), _LONGEST_STOP, limit // 2), 1)


def _defaults(*, in_container: bool) -> dict[str, Any]:
    return {
        "launcher": "mpirun",
        "requeues": 5,  # bounded, and announced
        "restart": "requeue",
        "python": "python3" if in_container else sys.executable,
    }


def _said(model: type[Slurm], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as the model reads them, without what is left open and without the name of the site."""
    read = model.model_validate(values)
    said = {key: getattr(read, key) for key in type(read).model_fields if key != "site"}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in said.items() if value is not None}


def _split(key: str, text: str) -> Any:
    if key in {"modules", "omit"}:
        return tuple(text.replace(",", " ").split())
    return tuple(text.splitlines()) if key in {"setup", "extra"} else text


def _problems(values: Mapping[str, Any], where: str, form: str) -> list[Problem]:
    def named(path: Iterable[str]) -> tuple[str, ...]:
        first, *_ = path
        return (form.format(first.upper() if form.startswith(PREFIX) else first.replace("_", "-")),)

    return locate([(named(path), message) for path, message in findings(Slurm, dict(values))], where)
