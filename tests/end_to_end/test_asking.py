"""A real run is followed, cancelled as a whole, and waited for, by commands of their own."""

import subprocess

import pytest
from jobs import long_job
from runs import PROGRAM, run_python

pytestmark = [pytest.mark.slow, pytest.mark.timeout(450)]


def verb(run, *words):
    """Run a verb on the newest run and return what came of it."""
    return run_python(run.folder, *PROGRAM[1:], *words)


def test_a_whole_run_is_cancelled(start):
    """It stops with a checkpoint and 75, is named as cancelled, and the commands that follow and wait end with it."""
    run = start(long_job()).until(lambda run: any(event["event"] == "layer_ended" for event in run.events), 120)
    words = ["logs", "latest", "--follow", "--task", "digit"]
    with subprocess.Popen([*PROGRAM, *words], cwd=run.folder, stdout=subprocess.PIPE, text=True) as following:
        cancelled = verb(run, "cancel", run.directory.name, "--timeout", "60")
        waited = verb(run, "wait", "--timeout", "60")
        run.finish()
        followed = following.communicate(timeout=60)[0]
    over = verb(run, "cancel", run.directory.name)
    told = [event["event"] for event in run.events].index("job_stopping")
    ends = [event["task"] for event in run.events[told:] if event["event"] in ("layer_stopped", "layer_ended")]

    assert cancelled.returncode == 0, cancelled.stderr
    assert (run.returncode, run.results["status"], ends) == (75, "stopped", ["digit"]), run.said
    assert waited.returncode == 75, waited.stderr
    assert "cancelled it: it stopped with checkpoints and does not go on" in waited.stdout
    assert (following.returncode, "layer=digit/0" in followed) == (0, True), followed
    assert (over.returncode, "the run has ended (stopped)" in over.stderr) == (3, True)
    assert run.leftovers() == []
