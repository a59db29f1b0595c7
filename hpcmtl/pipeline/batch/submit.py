"""Submission of a drafted batch job: creates run directories and submits the script; removes them if Slurm refuses."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from hpcmtl._version import __version__
from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.jobfile.read import to_yaml
from hpcmtl.launch.slurm import client as slurm
from hpcmtl.launch.slurm.sbatch import ArrayChunk, array_chunks
from hpcmtl.results.rundir.directory import RunDirectory, create, create_sweep, write_json_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from hpcmtl.pipeline.batch.draft import Draft, Point

SCRIPTS, RECORD = {"run": "job.sbatch", "array": "array.sbatch", "benchmark": "benchmark.sbatch"}, "submission.json"


def submit(draft: Draft) -> dict[str, Any]:
    """Creates the run directory, or a sweep with one directory per point, and submits the script.

    Returns:
        The content of `submission.json` of the run or the sweep.

    Raises:
        EnvironmentUnfitError: Slurm is missing or refuses the script; nothing is left then, unless some arrays of a
            sweep were already accepted.
        InputError: the directory cannot be created.
    """
    if not slurm.installed():
        raise EnvironmentUnfitError("there is no sbatch on this machine; --dry-run shows what would be submitted")
    kind = draft.request.kind
    if kind == "run":
        run = create(draft.request.runs, draft.batch.job)
        directory, runs = run.path, [run]
    else:
        directory, runs = create_sweep(draft.request.runs, draft.batch.job, draft.point_names())
    script = directory / SCRIPTS[kind]
    record = _record(draft, directory, script)
    jobs: list[str] = []
    try:
        for run, point in zip(runs, draft.points, strict=True):
            _write_point(run, point)
        script.write_text(draft.script(directory), encoding="utf-8")
        _submit_chunks(draft, script, runs, record, jobs)
    except BaseException:
        if not jobs:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    return record


def _submit_chunks(
    draft: Draft, script: Path, runs: list[RunDirectory], record: dict[str, Any], jobs: list[str]
) -> None:
    """Submits chunk by chunk and records each as soon as Slurm has accepted it."""
    for chunk in _chunks(draft):
        mine = runs[chunk.first : chunk.first + chunk.count]
        for number, run in enumerate(mine):
            _note(run.path / RECORD, record, chunk, run.path, index=number if chunk.array else None)
        after = [f"--dependency=afterany:{jobs[-1]}"] if jobs and draft.settings["throttle"] else []
        options = [*([f"--array={chunk.array}"] if chunk.array else []), *after]
        try:
            jobs.append(slurm.submit(script, options, chunk.arguments).partition(";")[0])
        except EnvironmentUnfitError as error:
            if not jobs:
                raise
            left = f"points from {chunk.first} on: sbatch {' '.join([*options, str(script), *chunk.arguments])}"
            raise EnvironmentUnfitError(f"{error}; jobs {', '.join(jobs)} were taken; submit the {left}") from error
        record.update(job=jobs[0], jobs=list(jobs))
        for number, run in enumerate(mine):
            index = number if chunk.array else None
            job = jobs[-1] if index is None else f"{jobs[-1]}_{index}"
            _note(run.path / RECORD, {**record, "job": job}, chunk, run.path, index)
        if draft.request.kind != "run":
            write_json_atomically(script.parent / RECORD, {**record, "points": _points(draft)})


def _chunks(draft: Draft) -> list[ArrayChunk]:
    if draft.request.kind != "array":
        return [ArrayChunk(0, len(draft.points), None)]
    limits = [limit for limit in (draft.settings["max_array_size"], slurm.max_array_size()) if limit is not None]
    return array_chunks(len(draft.points), min(limits, default=len(draft.points)), draft.settings["throttle"])


def _points(draft: Draft) -> dict[str, Any]:
    """Returns point -> its changed values."""
    named = zip(draft.point_names(), draft.points, strict=True)
    return {name: {"ranks": point.prepared.job.ranks, **point.change} for name, point in named}


def _note(file: Path, record: dict[str, Any], chunk: ArrayChunk, run: Path, index: int | None) -> None:
    own = {"run": str(run), "arguments": list(chunk.arguments), "array_index": index}
    write_json_atomically(file, {**record, **own})


def _write_point(run: RunDirectory, point: Point) -> None:
    run.job_file.write_text(to_yaml(point.prepared.resolved()), encoding="utf-8")
    write_json_atomically(run.plan_file, point.plan.to_dict())


def _record(draft: Draft, directory: Path, script: Path) -> dict[str, Any]:
    """Returns the record of a submission, without the environment, which may hold secrets."""
    settings, benchmark = draft.settings, draft.request.kind == "benchmark"
    return {
        "hpcmtl": __version__,
        "submitted": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "kind": draft.request.kind,
        "run": str(directory),
        "job_file": str(draft.request.file.resolve()),
        "set": list(draft.request.sets),
        "script": str(script),
        "job": None,
        "ranks": draft.batch.resources.ranks,
        "nodes": draft.batch.resources.nodes,
        "time_limit": settings["time"],
        "requeues": 0 if benchmark else settings["requeues"],  # its script runs the points one after another
        "restart": settings["restart"],
        "settings": settings.to_dict(),
    }
