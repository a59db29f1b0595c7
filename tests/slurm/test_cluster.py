"""The script that makes the cluster: what it starts it ends, and two clusters do not meet."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest
from batch import CLUSTER, NO_RIGHT, Slurm

NEEDED = ("bash", "cat", "chmod", "cksum", "cut", "dirname", "flock", "id", "mkdir", "realpath")


def call(*words, **environ):
    """Run cluster.sh."""
    return subprocess.run(
        [CLUSTER, *words], env={**os.environ, **environ}, capture_output=True, text=True, check=False, timeout=90
    )


def processes_of(directory):
    """Living processes that have the cluster's configuration in their environment, or are its daemons."""
    found = []
    for process in psutil.process_iter():
        try:
            environ = process.environ()
        except psutil.Error:
            continue
        if str(directory) in {environ.get("HPCMTL_TEST_CLUSTER"), os.path.dirname(environ.get("SLURM_CONF", ""))}:  # noqa: PTH120 - a word, not a path that is there
            found.append(process)
    return found


@pytest.fixture
def other():
    """A directory for another cluster, with a short name."""
    directory = Path(tempfile.mkdtemp(prefix="hpcmtl-slurm-"))
    yield directory
    call("stop", str(directory))
    shutil.rmtree(directory)


def test_a_second_cluster(slurm, other):
    """A second cluster has its own ports, runs a job, and its end takes the job and nothing of the first."""
    started = call("start", str(other))
    again = call("start", str(other))
    second = Slurm(other)
    job = second.submit(other, "echo pid $$; exec sleep 600", "--nodes=2").until_said("pid ")
    number = int(re.search(r"pid (\d+)", job.output)[1])
    runs = call("status", str(other))
    stopped = call("stop", str(other))
    over = call("status", str(other))

    assert started.stdout == again.stdout == f"export SLURM_CONF={other}/slurm.conf\n", started.stderr
    assert "four nodes are idle" in started.stderr
    assert "runs already" in again.stderr
    assert (runs.returncode, runs.stdout.count(" runs (pid ")) == (0, 6), runs.stdout
    assert re.search(r"^ +1 +main .* R .* n\[1-2\]$", runs.stdout, re.MULTILINE), runs.stdout
    assert (stopped.returncode, over.returncode) == (0, 3), stopped.stderr + over.stderr
    assert over.stdout.count("does not run") == 6
    assert not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE
    assert not processes_of(other)
    assert slurm.is_free()


def test_it_says_why_it_does_not_start(slurm, other):
    """A daemon that ends at once is named with its last words, and what had come up ends as well."""
    programs = other / "bin"
    programs.mkdir()
    (programs / "slurmd").write_text("#!/bin/sh\necho this slurmd is broken >&2\nexit 1\n", encoding="utf-8")
    (programs / "slurmd").chmod(0o755)
    done = call("start", str(other), PATH=f"{programs}:{os.environ['PATH']}")

    assert done.returncode == 1
    assert "hpcmtl: n1 ended; the last it said:\n    this slurmd is broken" in done.stderr
    assert done.stdout == ""
    assert not processes_of(other)


def test_without_slurm_and_without_the_right_to_install_it(other):
    """It says plainly what is missing, with a code of its own, and starts nothing."""
    for name in NEEDED:
        (other / name).symlink_to(shutil.which(name))
    done = call("start", str(other / "new"), PATH=str(other))

    assert done.returncode == NO_RIGHT, done.stderr
    assert "no Slurm on this host, and no right to install it" in done.stderr
    assert "apt-get install slurm-wlm munge libpmix-dev" in done.stderr


def test_a_requeued_job_and_a_preempted_one(slurm, tmp_path):
    """A job of `high` sends one of `main` USR1 before it takes its nodes, and this one begins again in its file."""
    script = """
        echo start ${SLURM_RESTART_COUNT:-0}
        [ -z "$SLURM_RESTART_COUNT" ] || exit 0
        trap 'echo got USR1; scontrol requeue $SLURM_JOB_ID' USR1
        sleep 600 & while :; do wait $!; done"""
    low = slurm.submit(tmp_path, script, "--exclusive", "--nodes=4", "--requeue", "--signal=B:USR1@60")
    low.until_said("start 0")
    high = slurm.submit(tmp_path, "true", "--exclusive", "--nodes=4", "--partition=high", "--output=high.out").finish()
    low.finish()

    assert high.state == "COMPLETED"
    assert [line for line in low.output.splitlines() if "slurmstepd" not in line] == ["start 0", "got USR1", "start 1"]
    assert (low.state, low.facts["Restarts"]) == ("COMPLETED", "1")
