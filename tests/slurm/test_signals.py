"""Slurm's USR1 before the time limit stops a job on its nodes with checkpoints, whoever launched the ranks."""

import json
import time

import pytest
from batch import CHECKOUT
from jobs import long_job, write_job

LAUNCHERS = ("mpirun", "srun")
# As our batch scripts do: bash runs a trap only while it waits.
SCRIPT = """
    {launchers}/{launcher}.sh -np 2 python -m mpi4py -m hpcmtl run job.yaml --ranks 2 --runs runs &
    launcher=$!
    trap 'echo forwards USR1; kill -USR1 $launcher' USR1
    while kill -0 $launcher 2>/dev/null; do wait $launcher; done
    wait $launcher
    code=$?
    echo ended with $code
    exit $code"""


@pytest.fixture(scope="module")
def stopped(slurm, digits_file, tmp_path_factory):
    """Two jobs at once, one of each launcher, that got USR1 from Slurm while they were training."""
    jobs = {}
    for launcher in LAUNCHERS:
        folder = tmp_path_factory.mktemp(launcher)
        write_job(folder, long_job(), digits_file)
        script = SCRIPT.format(launchers=CHECKOUT / "launchers", launcher=launcher)
        jobs[launcher] = slurm.submit(folder, script, "--nodes=2", "--ntasks-per-node=1", "--time=5")
    for job in jobs.values():
        job.until_event("layer_ended")
    asked = time.monotonic()
    for job in jobs.values():
        slurm.ask("scancel", "--batch", "--signal=USR1", str(job.number))
    return {launcher: (job.finish(60), time.monotonic() - asked) for launcher, job in jobs.items()}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_usr1_stops_with_checkpoints(stopped, launcher):
    """All ranks stop at a step boundary; checkpoint, ledger, results and Slurm's state tell the same story."""
    job, seconds = stopped[launcher]
    (run,) = (job.folder / "runs").iterdir()
    results = json.loads((run / "results.json").read_text())
    stops = [event for event in job.events if event["event"] == "layer_stopped"]

    assert "ended with 75" in job.output
    assert job.facts["ExitCode"] == "75:0"
    assert job.state == "FAILED"
    assert results["status"] == "stopped"
    assert [stop["task"] for stop in stops] == ["digit"]
    assert (run / "checkpoints" / "digit" / f"layer-{stops[0]['layer']:03d}.h5").exists()
    assert seconds < 30
