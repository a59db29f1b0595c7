"""The doctor's questions to hosts, with a program in place of ssh that runs the command here and changes the answer."""

import shlex
import sys

import pytest

from hpcmtl.launch import host_checks
from hpcmtl.launch.host_checks import host_checks as check_hosts
from hpcmtl.launch.hosts import parse_hosts

pytestmark = pytest.mark.slow

ANSWER = """
import dataclasses, json, os, subprocess, sys
done = subprocess.run(["sh", "-c", sys.argv[2]], capture_output=True, text=True)
facts = json.loads(done.stdout)
exec(os.environ["CHANGE"])
print("Welcome to the cluster")
print(json.dumps(facts))
"""


def asked(monkeypatch, tmp_path, change):
    """Returns the check of one host, whose facts are those of this one after a change."""
    program = tmp_path / "agent.py"
    program.write_text(ANSWER)
    monkeypatch.setenv("PRTE_MCA_plm_ssh_agent", shlex.join([sys.executable, str(program)]))
    monkeypatch.setenv("CHANGE", change)
    (check,) = check_hosts(parse_hosts("node1:2"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["agent.py"]
    return check


def test_a_host_like_this_one(monkeypatch, tmp_path):
    """A host with the same software, files and time is fit; greetings of its shell mean nothing."""
    check = asked(monkeypatch, tmp_path, "pass")

    assert check.ok, check
    assert check.found.startswith("2 slots on")


@pytest.mark.parametrize(
    ("change", "found", "remedy"),
    [
        ("facts['versions']['numpy'] = '1.0'", "other versions: numpy 1.0 (here 1", "copy the environment"),
        ("del facts['versions']['mpi4py']", "mpi4py missing", "copy the environment"),
        ("facts['python'] = '3.9.1'", "python 3.9.1", "copy the environment"),
        ("facts['commit'] = 'abc'", "another commit of hpcmtl: abc", "copy the checkout"),
        ("facts['shared'] = False", "does not see", "that all hosts share"),
        ("facts['now'] -= 70", "its clock differs by", "NTP"),
        ("facts['now'] += 70; facts['shared'] = False", "its clock differs by", "NTP"),
    ],
)
def test_a_host_that_differs(monkeypatch, tmp_path, change, found, remedy):
    """Whatever differs from this host fails the check, with what to do."""
    check = asked(monkeypatch, tmp_path, change)

    assert not check.ok
    assert found in check.found
    assert remedy in check.remedy


@pytest.mark.parametrize(
    ("change", "found", "remedy"),
    [
        ("sys.exit('Permission denied') if 0 else (print('no', file=sys.stderr), sys.exit(255))", "no", "ssh-copy-id"),
        (
            "print('python: not found', file=sys.stderr); sys.exit(127)",
            "does not start there: python: not found",
            "same paths",
        ),
        ("import time; time.sleep(60)", "no answer within 1 s", "ssh-copy-id"),
    ],
)
def test_a_host_that_does_not_answer(monkeypatch, tmp_path, change, found, remedy):
    """A refusal of ssh, a missing installation, and silence each have their words."""
    monkeypatch.setattr(host_checks, "SECONDS_TO_ANSWER", 1 if "sleep" in change else 60)
    check = asked(monkeypatch, tmp_path, change)

    assert not check.ok
    assert found in check.found
    assert remedy in check.remedy


def test_a_machine_without_ssh(monkeypatch, tmp_path):
    """Without an ssh client the check says so."""
    monkeypatch.setenv("PRTE_MCA_plm_ssh_agent", str(tmp_path / "no-ssh"))
    (check,) = check_hosts(parse_hosts("node1:2"), tmp_path)

    assert not check.ok
    assert "install an ssh client" in check.remedy
