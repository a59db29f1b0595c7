"""Requests of a batch job to Slurm: the `slurm` section of a job file, and site profiles with the same keys."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from hpcmtl.networks.bounds import MOST, MOST_RANKS
from hpcmtl.networks.spec import Spec

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TIME_HELP = 'write 45m, 1h30m or, in quotes, Slurm\'s own "1:30:00", "2-12" or "90" (minutes)'


def parse_time(value: Any) -> Any:
    """Returns the seconds of a time limit: ``90s``, ``45m``, ``1h30m``, ``2d``, or as Slurm writes it.

    Slurm's forms are ``minutes``, ``minutes:seconds``, ``hours:minutes:seconds``, ``days-hours``,
    ``days-hours:minutes`` and ``days-hours:minutes:seconds``.

    Raises:
        ValueError: the value has none of these forms. A bare number is refused too: in YAML, 1:30:00 is 5400.
    """
    if not isinstance(value, str):
        raise ValueError(f"found {value!r}, which may be minutes or seconds; {_TIME_HELP}")  # noqa: TRY004 - pydantic's
    text = value.strip().lower()
    seconds = 0
    if re.fullmatch(r"(\d+[smhd])+", text):
        seconds = sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))
    elif form := re.fullmatch(r"(\d+)-(\d+)(?::(\d+))?(?::(\d+))?", text):
        days, hours, minutes, rest = (int(part or 0) for part in form.groups())
        seconds = 86400 * days + 3600 * hours + 60 * minutes + rest
    elif form := re.fullmatch(r"(?:(\d+):)?(\d+):(\d+)|(\d+)", text):
        hours, minutes, rest, alone = (int(part or 0) for part in form.groups())
        seconds = 3600 * hours + 60 * (minutes + alone) + rest
    if seconds <= 0:
        raise ValueError(f"{value!r} is no time limit; {_TIME_HELP}")
    return seconds


def time_text(seconds: int) -> str:
    """Returns a time as Slurm writes it: ``1-02:03:04``, ``02:03:04``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days}-" if days else "") + f"{hours:02d}:{minutes:02d}:{rest:02d}"


def _one_line(value: Any) -> Any:
    if isinstance(value, str) and ("\n" in value or "\r" in value):
        raise ValueError("found a line break; write one entry a line of the script")
    return value


def _one_word(value: str) -> str:
    if not value or value != "".join(value.split()):
        raise ValueError(f"found {value!r}; write one word")
    return value


def _listed(value: Any) -> Any:
    """Turns a text into a list of one entry."""
    return (value,) if isinstance(value, str) else value


Line = Annotated[str, BeforeValidator(_one_line), Field(min_length=1)]
Lines = Annotated[tuple[Line, ...], BeforeValidator(_listed)]
Word = Annotated[str, AfterValidator(_one_word)]
Words = Annotated[tuple[Word, ...], BeforeValidator(_listed)]
Time = Annotated[int, BeforeValidator(parse_time), PlainSerializer(time_text), WithJsonSchema({"type": "string"})]


class Slurm(Spec):
    """Resources of a batch job, and the launch of its ranks; None means the value of the site, or the default."""

    nodes: int | None = Field(default=None, ge=1, le=MOST_RANKS, description="number of nodes")
    ntasks_per_node: int | None = Field(default=None, ge=1, le=MOST_RANKS, description="ranks of a node, at most")
    cpus_per_task: int | None = Field(default=None, ge=1, le=MOST_RANKS, description="cores for each rank")
    gpus_per_task: int | None = Field(default=None, ge=1, le=MOST_RANKS, description="GPUs for each rank")
    time: Time | None = Field(default=None, description="time limit of one attempt: 45m, 1h30m, or as Slurm writes it")
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    launcher: Literal["mpirun", "srun"] | None = Field(default=None, description="what starts the ranks")
    modules: Words | None = Field(default=None, description="environment modules that are loaded")
    setup: Lines | None = Field(default=None, description="shell lines that are run before the ranks are started")
    container: Line | None = Field(default=None, description="command that runs a program in a container")
    python: Line | None = Field(default=None, description="Python of the ranks; default: the one that submits")
    scratch: Line | None = Field(default=None, description="directory for temporary files on a node")
    stage: Literal["scratch"] | None = Field(
        default=None,
        description="`scratch`: each node gets a copy of the environment of the ranks there",
    )
    requeues: int | None = Field(default=None, ge=0, le=MOST, description="further attempts after a stop or a loss")
    restart: Literal["requeue", "successor"] | None = Field(
        default=None, description="how the next attempt comes: the same job requeued, or another job after it"
    )
    stop_seconds: int | None = Field(default=None, ge=1, le=65535, description="before the limit, to write checkpoints")
    throttle: int | None = Field(default=None, ge=1, le=MOST, description="points of a sweep that run at the same time")
    extra: Lines | None = Field(default=None, description="further directives: --constraint=icelake")
    omit: Words | None = Field(default=None, description="directives that are left out: mem, requeue")


class JobSlurm(Slurm):
    """The `slurm` section of a job file."""

    site: Line | None = Field(default=None, description="site profile, by name or as a file")


class Site(Slurm):
    """A site profile: the same keys, and the limits of the site."""

    cores_per_node: int | None = Field(default=None, ge=1, le=MOST)
    max_time: Time | None = Field(default=None, description="longest time limit")
    max_nodes: int | None = Field(default=None, ge=1, le=MOST)
    max_array_size: int | None = Field(default=None, ge=1, le=MOST, description="points of one job array")
