"""Problems of values under `defaults`: reported there, once, and not for each task that takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hpcmtl.jobfile.findings import Finding
    from hpcmtl.jobfile.schema import Job


def in_defaults(job: Job, found: Iterable[Finding]) -> list[Finding]:
    """Returns findings, with those of values that a task has from `defaults` moved there, each once.

    Args:
        job: the job with its defaults filled in.
        found: findings of its tasks.
    """
    return list(dict.fromkeys((_place(job, path), message) for path, message in found))


def _place(job: Job, path: tuple[str, ...]) -> tuple[str, ...]:
    if len(path) < 3 or path[0] != "tasks" or path[1] not in job.tasks:
        return path
    name, key = path[1], path[2]
    default = getattr(job.defaults, key, None)
    return ("defaults", *path[2:]) if default is not None and default == getattr(job.tasks[name], key, None) else path
