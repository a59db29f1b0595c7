"""Calls of Slurm's commands, and the use of their answers and of their silence."""

import os

import pytest
from fake_slurm import FakeSlurm

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.launch.slurm import client as slurm


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Slurm's commands, played."""
    made = FakeSlurm.accepting(tmp_path / "bin")
    monkeypatch.setenv("PATH", made.path)
    return made


def test_a_job_is_submitted(fake, tmp_path):
    """Options, script and arguments are passed on, and the id comes back, with a warning or a cluster as without."""
    assert slurm.submit(tmp_path / "a b.sbatch", ["--array=0-3"], ["7"]) == "100"
    assert fake.all_calls() == [f"sbatch --parsable --array=0-3 {tmp_path}/a b.sbatch 7"]

    fake.runs("sbatch", "echo 'warning: low'; echo '12;big'")

    assert slurm.submit(tmp_path / "x") == "12;big"


def test_a_refusal_is_told_in_slurms_words(fake, tmp_path):
    """The text of sbatch on stderr is the reason; a reply that is no id is none."""
    fake.runs("sbatch", "echo 'sbatch: error: invalid partition' >&2; exit 1")
    with pytest.raises(EnvironmentUnfitError, match="did not take .*invalid partition"):
        slurm.submit(tmp_path / "x")
    fake.runs("sbatch", "echo hello")
    with pytest.raises(EnvironmentUnfitError, match="hello"):
        slurm.submit(tmp_path / "x")


def test_a_silent_command_is_given_up(fake, monkeypatch):
    """A controller that does not reply costs a bounded time."""
    fake.runs("scontrol", "exec sleep 60")
    monkeypatch.setattr(slurm, "SECONDS", 0.3)

    reply = slurm.requeue("16_3")

    assert not reply.ok
    assert reply.message == "scontrol gave no answer within 0.3 s"
    assert fake.all_calls() == ["scontrol requeue 16_3"]


def test_without_slurm_nothing_is_run(tmp_path, monkeypatch):
    """Where there is no Slurm the answers say so."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert not slurm.installed()
    assert slurm.requeue("1").message == "there is no scontrol on this machine"
    assert slurm.max_array_size() is None


def test_the_largest_array_of_a_cluster(fake):
    """The limit is read from what Slurm shows of its configuration; without it there is none."""
    fake.runs("scontrol", "printf 'MaxArraySize            = 1001\\nMaxJobCount = 10000\\n'")
    assert slurm.max_array_size() == 1001
    fake.runs("scontrol", "exit 1")
    assert slurm.max_array_size() is None


def test_a_successor_inherits_nothing_of_the_job(fake, tmp_path, monkeypatch):
    """The count of restarts and the sizes of the job that submits stay behind; without a job all is passed on."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "HPCMTL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    monkeypatch.setenv("SLURM_CONF", "/etc/x")
    monkeypatch.setenv("HPCMTL_ATTEMPT_ID", "5.2")
    monkeypatch.setenv("HPCMTL_HEARTBEAT", "2")
    slurm.submit(tmp_path / "x")

    names = {name for name in fake.environment("sbatch") if name.startswith(("SLURM_", "HPCMTL_"))}
    assert names == {"SLURM_CONF", "HPCMTL_HEARTBEAT"}
