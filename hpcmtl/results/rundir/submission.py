"""The batch jobs of a run: `submission.json`, and the successors that its batch script wrote to `attempts.jsonl`."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpcmtl.results.rundir.directory import RunDirectory

_ID = re.compile(r"[0-9]+([_+][0-9]+)?", re.ASCII)
_CLUSTER = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class Submission:
    """The batch jobs of a run.

    Attributes:
        job_ids: job IDs in the order of submission; a run that was cut off may have successors.
        submitted: ISO 8601 time of the first submission; empty if unknown.
        cluster: name of the cluster, where several share one Slurm; empty for that of this host.
        script: path of the batch script, by which a job is found that a user submitted with sbatch; empty if unknown.
        arguments: arguments of the script.
        index: index of the run in the array of a sweep; None if it is in none.
        whole_sweep: true if it is about all runs of a sweep, so that each job with the script is one of it.
    """

    job_ids: tuple[str, ...] = ()
    submitted: str = ""
    cluster: str = ""
    script: str = ""
    arguments: tuple[str, ...] = ()
    index: int | None = None
    whole_sweep: bool = False

    def has_started(self, job: str, command: str) -> bool:
        """Returns true if a job in the queue is an attempt of this run.

        Args:
            job: ID of the job, of an array with the index.
            command: path of its script with the arguments, as Slurm shows it; empty if unknown.
        """
        words = command.rsplit(maxsplit=1)
        number = words[1] if len(words) == 2 and words[1].isdigit() else ""
        script = words[0] if number else command
        if not command or not self.script or os.path.realpath(script) != os.path.realpath(self.script):
            return False
        if self.whole_sweep:
            return True
        first = (self.arguments or ("0",))[0]  # a sweep's script begins with its first point if it is given none
        return (number or "0") == first and (self.index is None or job.endswith(f"_{self.index}"))


def _later_jobs(run: RunDirectory) -> list[str]:
    """Returns the jobs whose attempts were concluded, and the successors of those that could not be requeued."""
    try:
        lines = (run.path / "attempts.jsonl").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines if line]
        return [str(event[key]) for event in found for key in ("job", "successor") if event.get(key)]
    except (OSError, ValueError, TypeError, AttributeError):
        return []


def read_submission(run: RunDirectory) -> Submission | None:
    """Returns the submission of a run; None if it was not submitted. Values that are no job IDs are ignored."""
    try:
        values = json.loads(run.submission_file.read_text(encoding="utf-8"))
        ids = [str(job) for job in values.get("job_ids") or [values["job"]]] + _later_jobs(run)
        submitted, cluster = str(values.get("submitted") or ""), str(values.get("cluster") or "")
        script, arguments = str(values.get("script") or ""), tuple(map(str, values.get("arguments") or ()))
        index = values.get("array_index")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Submission()
    return Submission(
        tuple(dict.fromkeys(job for job in ids if _ID.fullmatch(job))),
        submitted,
        cluster if _CLUSTER.fullmatch(cluster) else "",
        script,
        arguments,
        index if isinstance(index, int) else None,
    )
