"""The place among ranks is read from every launcher's variables, and singletons are refused."""

import json
import socket
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.launch.durations import heartbeat_seconds, hung_seconds
from hpcmtl.launch.environment import (
    RankEnvironment,
    columns,
    inside_mpi,
    rank_environment,
    require_launcher,
    require_time,
    require_world,
    without_launcher,
)
from hpcmtl.launch.run_facts import installed_version, run_facts

OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "PMIX_RANK": "2",
}
SLURM_STEP = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "0", "SLURM_NTASKS": "8"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        (OPEN_MPI, RankEnvironment("Open MPI", 2, 4, 1)),
        (SLURM_STEP, RankEnvironment("Slurm", 3, 8, 0)),
        (SLURM_STEP | OPEN_MPI, RankEnvironment("Open MPI", 2, 4, 1)),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, RankEnvironment("PMI", 0, 2, None)),
        ({"PMIX_RANK": "5", "PMIX_SERVER_URI41": "x"}, RankEnvironment("PMIx", 5, None, None)),
        ({"PMIX_RANK": "5"}, None),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_LOCALID": "0"}, None),
        (SLURM_STEP | {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"OMPI_COMM_WORLD_RANK": "none", "OMPI_COMM_WORLD_SIZE": "4"}, None),
    ],
    ids=[
        "shell",
        "mpirun",
        "srun",
        "mpirun-in-srun",
        "pmi",
        "pmix",
        "pmix-left",
        "batch-script",
        "srun-pty",
        "nonsense",
    ],
)
def test_place_by_launcher(environ, expected):
    """Each launcher's variables give its place; a batch script or an interactive step is no rank."""
    place = rank_environment(environ)

    assert expected == place
    assert inside_mpi(environ) == (expected is not None)


@given(started=st.integers(2, 10_000), world=st.integers(1, 10_000))
def test_a_world_of_another_size_is_refused(started, world):
    """Any world that is not as large as the launcher made it is refused, with both numbers in the message."""
    environ = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": str(started)}

    if started == world:
        require_world(world, environ)
    else:
        with pytest.raises(EnvironmentUnfitError, match=f"started {started} ranks.* world of {world} "):
            require_world(world, environ)


def test_no_launcher_allows_any_world():
    """A process that nobody started as a rank may be a world of one."""
    require_world(1, {})


def test_a_child_is_no_rank_and_keeps_the_rest():
    """The rest of a rank's environment makes no rank of a child; a shell's settings stay as they are."""
    shell = {"PATH": "/bin", "OMPI_MCA_btl": "self"}

    assert without_launcher(OPEN_MPI | {"PATH": "/bin"}) == {"PATH": "/bin"}
    assert without_launcher(shell) == shell


def test_the_heartbeat_is_set_by_a_variable():
    """The default counts until the variable gives another time; what is no time is refused with an example."""
    assert heartbeat_seconds(5.0, {}) == heartbeat_seconds(5.0, {"HPCMTL_HEARTBEAT": ""}) == 5.0
    assert heartbeat_seconds(5.0, {"HPCMTL_HEARTBEAT": "0.5"}) == 0.5
    for wrong in ("0", "-1", "soon", "nan", "1e9"):
        with pytest.raises(EnvironmentUnfitError, match=r"HPCMTL_HEARTBEAT.*write 5"):
            heartbeat_seconds(5.0, {"HPCMTL_HEARTBEAT": wrong})


def test_hung_seconds_and_columns():
    """When a silent rank is taken for dead, 0 for never, and how wide the terminal is; what is neither is refused."""
    assert hung_seconds({}) == 60.0
    assert hung_seconds({"HPCMTL_HUNG_SECONDS": "0"}) == 0.0
    assert (columns({}), columns({"HPCMTL_COLUMNS": "0"}), columns({"HPCMTL_COLUMNS": "90"})) == (None, None, 90)
    for wrong in ("-1", "never", "nan", "1e9"):
        with pytest.raises(EnvironmentUnfitError, match=r"HPCMTL_HUNG_SECONDS.*write 60"):
            hung_seconds({"HPCMTL_HUNG_SECONDS": wrong})
    for wrong in ("wide", "-3", "\u00b2"):
        with pytest.raises(EnvironmentUnfitError, match=r"HPCMTL_COLUMNS.*write 80"):
            columns({"HPCMTL_COLUMNS": wrong})


def test_run_facts_are_json_and_name_the_versions():
    """The facts can be written as JSON, and leave out what is not installed."""
    facts = run_facts()

    assert json.loads(json.dumps(asdict(facts)))["host"] == facts.host
    assert facts.versions["numpy"] == installed_version("numpy")
    assert installed_version("no-such-package-of-hpcmtl") is None


def test_a_time_limit_in_the_past_is_refused_and_one_to_come_is_told():
    """The variable and both times are in the sentence; a value with milliseconds is no time."""
    with pytest.raises(EnvironmentUnfitError, match="SLURM_JOB_END_TIME=100 is in the past.*unset it"):
        require_time(101.0, {"SLURM_JOB_END_TIME": "100"})
    with pytest.raises(EnvironmentUnfitError, match="HPCMTL_END_TIME='1795916651000' is no time"):
        require_time(101.0, {"HPCMTL_END_TIME": "1795916651000"})

    assert require_time(40.0, {"SLURM_JOB_END_TIME": "100"}).endswith(
        "in 60 s: the run stops with checkpoints before it"
    )
    assert require_time(40.0, {}) == ""


def test_the_variables_of_a_launcher_that_has_ended_are_refused(tmp_path):
    """A rank whose PMIx server has left no directory is told so; MPI would end it by a signal."""
    rank = {**OPEN_MPI, "PMIX_SERVER_TMPDIR": str(tmp_path)}
    require_launcher(rank)

    with pytest.raises(EnvironmentUnfitError, match="rank 2 of a start by Open MPI, which has ended"):
        require_launcher({**rank, "PMIX_SERVER_TMPDIR": str(tmp_path / "gone")})


def test_a_launcher_that_answers_has_not_ended(tmp_path):
    """In a container the directory of the PMIx server may be missing; its address decides while it is there."""
    rank = {**OPEN_MPI, "PMIX_SERVER_TMPDIR": str(tmp_path / "gone"), "PMIX_SERVER_URI2": "without a port"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        rank["PMIX_SERVER_URI41"] = f"prterun-host-7@0.0;tcp4://127.0.0.1:{port}"
        require_launcher(rank)

    with pytest.raises(EnvironmentUnfitError, match="does not exist, and no server answers"):
        require_launcher(rank)


def test_a_directory_that_cannot_be_looked_at_is_not_gone(monkeypatch):
    """Without the right to look at the directory of the PMIx server nothing is refused."""

    def forbidden(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", forbidden)

    require_launcher({**OPEN_MPI, "PMIX_SERVER_TMPDIR": "/root/secret"})
