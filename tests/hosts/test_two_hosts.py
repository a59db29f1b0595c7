"""Ranks on a list of hosts: by both launchers, by `hpcmtl run` and `resume`, and when a host is lost."""

import json
import os
import sys
from pathlib import Path

import pytest
from jobs import family, family_task

LAUNCHERS = Path(__file__).parents[2] / "launchers"
# What a rank says of the place where it is; the variable and the folder come from the host of the command.
SAY = 'echo "$(hostname) $PWD $CARRIED $OMP_NUM_THREADS ${OMPI_MCA_mpi_yield_when_idle:-0} $(command -v hpcmtl)"'


@pytest.mark.parametrize("launcher", ["mpirun.sh", "horovodrun.sh"])
def test_ranks_on_two_hosts(hosts, tmp_path, launcher):
    """Ranks fill one host after the other; environment and folder are carried, and cores are counted on each host."""
    cores = max(len(os.sched_getaffinity(0)) // 2, 1)  # of each host
    listed = f"{hosts.first}:1,{hosts.second}:{2 * cores}"
    words = (
        "env",
        "-u",
        "OMP_NUM_THREADS",
        "-C",
        tmp_path,
        LAUNCHERS / launcher,
        "-np",
        str(1 + 2 * cores),
        "-H",
        listed,
    )
    done = hosts.run(*words, "sh", "-c", SAY, CARRIED="of here")

    assert done.returncode == 0, done.stderr
    said = [line.split() for line in sorted(done.stdout.splitlines())]
    places = [hosts.first, *[hosts.second] * 2 * cores]
    assert [(host, folder, carried, here) for host, folder, carried, here, *_ in said] == [
        (host, str(tmp_path), "of", "here") for host in places
    ]
    # One rank has all cores of the first host. On the second two ranks share a core, and must not spin in MPI.
    assert [tuple(map(int, words[4:6])) for words in said] == [(cores, int(cores < 2)), *[(1, 1)] * 2 * cores]
    assert {program for *_, program in said} == {str(Path(sys.executable).with_name("hpcmtl"))}


@pytest.fixture(scope="module")
def whole(hosts, start_once):
    """A family of all task kinds on both hosts, by a host file."""
    folder = start_once.folder
    folder.mkdir(exist_ok=True)
    listed = folder / "hosts.txt"
    listed.write_text(f"# the cluster\n{hosts.first} slots=2\n\n{hosts.second} slots=2 # slow\n", encoding="utf-8")
    words = ("run", "job.yaml", "--runs", "runs", "--hostfile", str(listed))
    return start_once(family(), hosts.on("hpcmtl"), words).finish()


def test_a_family_on_two_hosts(hosts, whole):
    """The job is complete, on all slots of the file, with logs and facts of both hosts."""
    assert whole.returncode == 0, whole.said
    record = json.loads((whole.directory / "environment.json").read_text(encoding="utf-8"))

    assert record["hosts"] == [hosts.first] * 2 + [hosts.second] * 2
    assert all(whole.log(rank) for rank in range(4))


def test_the_network_is_measured(whole):
    """The bandwidth found at the start is that of the network between the hosts, 1 Gb/s; it is in the first lines."""
    (line,) = [line for line in whole.stderr.splitlines() if "ranks on 2 nodes" in line]
    speed = float(line.partition(" us and ")[2].partition(" Gb/s")[0])

    assert 0.02 < speed < 3, line  # a loaded machine is slower, and the first bytes are faster


def test_a_lost_host_ends_the_run(hosts, start):
    """When the other host is gone the run ends within a minute, with 1 and the way on; here it goes on to the end."""
    task = family_task("digit", input="digits/images", epochs=120, layers=10, ranks=2)
    job = family(tasks={"here": task, "there": task})
    run = start(job, hosts.on("hpcmtl"), ("run", "job.yaml", "--runs", "runs", "--hosts", hosts.slots))
    run.until(
        lambda run: {event.get("task") for event in run.events if event["event"] == "layer_ended"} == {*job["tasks"]}
    )
    hosts.cut()
    run.finish(60)

    assert run.returncode == 1, run.said
    assert "lost communication with a remote daemon" in run.stderr, run.said
    assert f"hpcmtl resume runs/{run.directory.name}" in run.stderr, run.said

    words = ("resume", str(run.directory), "-H", f"{hosts.first}:2")
    again = start.again(run.folder, hosts.on("hpcmtl"), words).finish(60)

    assert again.returncode == 0, again.said
    assert {task["status"] for task in again.results["tasks"].values()} == {"complete"}


def test_the_doctor_asks_each_host(hosts, tmp_path):
    """The doctor finds both hosts fit, and says of one that is not there that ssh does not reach it."""
    done = hosts.run("hpcmtl", "doctor", "--runs", tmp_path, "--json", "-H", f"{hosts.slots},{hosts.name}c:1")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}

    assert done.returncode == 3, done.stderr
    assert [checks[f"host {hosts.name}{letter}"]["ok"] for letter in "abc"] == [True, True, False]
    assert checks[f"host {hosts.second}"]["found"].startswith(
        f"2 slots on {max(len(os.sched_getaffinity(0)) // 2, 1)} core"
    )
    assert "must end without a question" in checks[f"host {hosts.name}c"]["remedy"]
