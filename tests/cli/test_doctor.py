"""`hpcmtl doctor` prints each check and its remedy, for people and for machines, and its exit code follows."""

import json

import pytest

from hpcmtl.cli import doctor
from hpcmtl.errors import ExitCode
from hpcmtl.launch.doctor import Check

GOOD = Check("Python", True, "3.11.7", "")
BAD = Check("mxnet", False, "missing [tool]", "run launchers/bootstrap.sh")


@pytest.mark.parametrize(("checks", "code"), [([GOOD], ExitCode.COMPLETE), ([GOOD, BAD], ExitCode.ENVIRONMENT_UNFIT)])
def test_exit_code_and_json(monkeypatch, capsys, tmp_path, checks, code):
    """One failing check makes the exit code 3, and the JSON on stdout says the same."""
    monkeypatch.setattr("hpcmtl.launch.doctor.run_checks", lambda *_: checks)
    returned = doctor.doctor(tmp_path, as_json=True)
    said = json.loads(capsys.readouterr().out)

    assert returned == code
    assert said["fit"] == (code == ExitCode.COMPLETE)
    assert [check["name"] for check in said["checks"]] == [check.name for check in checks]


def test_the_table_has_the_remedy(monkeypatch, capsys, tmp_path):
    """The table shows what was found as it is, and the remedy of what fails."""
    monkeypatch.setattr("hpcmtl.launch.doctor.run_checks", lambda *_: [GOOD, BAD])
    doctor.doctor(tmp_path, as_json=False)
    said = capsys.readouterr().out

    assert "missing [tool]" in said
    assert "remedy: run launchers/bootstrap.sh" in said
    assert said.count("remedy") == 1
