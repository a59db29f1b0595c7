"""Signals stop a run at a step boundary with checkpoints, and a second one ends it; no process is left behind."""

import os
import pty
import signal
import time
from pathlib import Path

import pytest
from jobs import long_job, python_job
from runs import ABORTING, CHECKOUT, by_mpirun

from hpcmtl.pipeline.live.watch import diagnose_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(450)]
TEN_SECONDS = 10


def assert_stopped(run):
    """The run ended as one that can go on."""
    tasks = run.results["tasks"]
    stops = [event for event in run.events if event["event"] == "layer_stopped"]

    assert run.returncode == 75, run.said
    assert run.results["status"] == "stopped"
    assert (tasks["digit"]["status"], tasks["digit"]["message"]) == ("stopped", "stopped with a checkpoint")
    assert tasks["after"]["status"] == "stopped"
    assert [stop["task"] for stop in stops] == ["digit"]
    assert (run.directory / "checkpoints" / "digit" / f"step-{stops[0]['reached']:010d}.h5").exists()
    assert "digit stopped: stopped with a checkpoint" in run.stdout
    assert "MPI_ABORT" not in run.stderr  # of several ranks at once it makes mpirun wait for ever at times
    assert run.leftovers() == []


def takes_interrupts(run):
    """Returns whether SIGINT reaches the command: `env` has restored its default."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{run.process.pid}/status").read_text().splitlines())
    return not int(status["SigIgn"], 16) >> (signal.SIGINT - 1) & 1


def test_interrupt(start):
    """Ctrl-C stops all ranks at a step boundary, with a checkpoint; the exit code says that the job can go on."""
    run = start(long_job(3)).until_event("layer_ended", task="digit")
    run.process.send_signal(signal.SIGINT)
    run.finish()

    assert "hpcmtl: SIGINT: stopping at the next step boundary" in run.stderr
    assert_stopped(run)


def test_interrupt_of_the_terminal(start):
    """A terminal sends Ctrl-C to the whole process group: the ranks are not in it, so that they can checkpoint."""
    run = start(long_job()).until_event("layer_ended", task="digit")
    os.killpg(run.process.pid, signal.SIGINT)
    run.finish()

    assert_stopped(run)


def test_usr1_under_mpirun(start):
    """SIGUSR1 to an mpirun of the user's own, as a batch system sends it before the time limit, stops the job."""
    run = start(long_job(), by_mpirun(2)).until_event("layer_ended", task="digit")
    run.process.send_signal(signal.SIGUSR1)
    run.finish()

    assert_stopped(run)


def test_signal_to_one_rank(start):
    """A signal that reaches only one rank, and not the first, stops them all."""
    run = start(long_job(), by_mpirun(2)).until_event("layer_ended", task="digit")
    run.rank(1).send_signal(signal.SIGTERM)
    run.finish()

    assert_stopped(run)
    assert [event["reason"] for event in run.events if event["event"] == "job_stopping"] == ["rank 1 got SIGTERM"]


def test_a_callable_can_stop(start):
    """A python task is told that the job is to stop, and its own end is the end of the run."""
    run = start(python_job("patient")).until_files("patient.*", 2)
    run.process.send_signal(signal.SIGTERM)
    run.finish()

    assert run.results["status"] == "complete", run.said
    assert run.leftovers() == []


def test_interrupt_twice(start):
    """A job that does not stop is ended by the second Ctrl-C, soon and not with 0."""
    run = start(python_job("stubborn")).until_files("stubborn.*", 2)
    run.process.send_signal(signal.SIGINT)
    run.until(lambda _: "once more ends the ranks" in run.stderr)
    asked = time.time()
    run.process.send_signal(signal.SIGINT)
    run.finish()

    assert time.time() - asked < TEN_SECONDS
    assert run.returncode not in {0, 75}, run.said
    assert "hpcmtl: SIGINT: ending the ranks" in run.stderr
    assert run.leftovers() == []


LAUNCHERS = [[str(CHECKOUT / "launchers" / f"{name}.sh"), "-np", "2", *ABORTING] for name in ("mpirun", "horovodrun")]


@pytest.mark.parametrize("command", LAUNCHERS, ids=["mpirun", "horovodrun"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda each: each.name)
def test_signals_to_a_launcher(start, command, number):
    """On these signals mpirun kills its ranks: the launcher turns each into SIGUSR1, and keeps the exit code."""
    run = start(long_job(), command).until_event("layer_ended", task="digit")
    run.process.send_signal(number)
    run.finish()

    assert f"hpcmtl: {number.name}: stopping at the next step boundary" in run.stderr
    assert_stopped(run)


def test_ctrl_c_on_a_terminal_of_a_launcher(start):
    """Ctrl-C, which a terminal sends to the whole process group, does not reach mpirun."""
    master, slave = pty.openpty()
    take_terminal = ["setsid", "--ctty", "--wait", *by_mpirun(2)]
    run = start(long_job(), take_terminal, stdin=slave).until_event("layer_ended", task="digit")
    os.close(slave)
    os.write(master, b"\x03")
    run.finish()
    os.close(master)

    assert "hpcmtl: SIGINT: stopping at the next step boundary" in run.stderr
    assert_stopped(run)


def test_both_signals_of_timeout_are_one_request(start):
    """`timeout` sends SIGTERM to the launcher and to its process group: the ranks have time for their checkpoints."""
    run = start(long_job(), ["timeout", "0", *by_mpirun(2)]).until_event("layer_ended", task="digit")
    run.process.send_signal(signal.SIGTERM)  # which it passes on as at its time limit
    run.finish()

    assert run.returncode in {75, 124}  # those of the run, and of `timeout`
    assert run.results["status"] == "stopped"
    assert "ending the ranks" not in run.stderr
    assert run.leftovers() == []


def test_term_twice_to_a_launcher(start):
    """A second SIGTERM goes on to mpirun, which ends a job that does not stop, soon and not with 0."""
    run = start(python_job("stubborn"), by_mpirun(2)).until_files("stubborn.*", 2)
    run.process.send_signal(signal.SIGINT)
    run.until(lambda _: "once more ends the ranks" in run.stderr)
    asked = time.time()
    run.process.send_signal(signal.SIGTERM)
    run.finish()

    assert "hpcmtl: SIGTERM: ending the ranks" in run.stderr
    assert time.time() - asked < TEN_SECONDS
    assert run.returncode not in {0, 75}, run.said
    assert run.leftovers() == []


def test_a_killed_launcher_leaves_no_ranks(start):
    """SIGKILL to the launcher ends mpirun and its ranks, and on this host the run is known to be dead at once."""
    run = start(long_job(), by_mpirun(2)).until_event("layer_ended", task="digit")
    before = diagnose_run(run.directory)["state"]
    run.process.kill()
    left = run.leftovers(20)
    found = diagnose_run(run.directory)

    assert left == []
    assert (before, found["state"], found["over"], found["sure"]) == ("running", "died", True, True)
    assert f"`hpcmtl resume {run.directory}`" in found["sentence"]


def test_interrupt_during_the_import(start):
    """Ctrl-C while the ranks import MXNet stops the job as one that comes later does."""
    run = start(long_job()).until_loaded("libmxnet")
    run.process.send_signal(signal.SIGINT)
    run.finish()

    assert_stopped(run)


@pytest.mark.parametrize("delay", [0.0, 0.3, 1.0])
def test_interrupt_at_the_start(start, delay):
    """Ctrl-C before there are ranks, or while they come up, ends the command soon, and nothing is left."""
    run = start(long_job()).until(takes_interrupts)  # a shell in the background has its children ignore them
    time.sleep(delay)
    run.process.send_signal(signal.SIGINT)
    run.finish(30)

    assert run.returncode != 0, run.said
    assert run.leftovers() == []


def test_a_renamed_run_directory(start):
    """A run whose directory is renamed while it goes on ends with one sentence, as an unfit environment."""
    run = start(long_job(), by_mpirun(2)).until_event("layer_ended", task="digit")
    gone = run.directory
    gone.rename(gone.with_name("elsewhere"))
    run.finish(120)

    assert run.returncode == 3, run.said
    assert f"{gone}: this directory is gone: it was renamed or removed while the run went on" in run.stderr
    assert "Traceback" not in run.stderr
    assert run.leftovers() == []
