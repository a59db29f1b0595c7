"""The report and the trace at the end of an attempt."""

import json

import pytest
from written_runs import two_tasks

import hpcmtl
from hpcmtl.pipeline.run.end_report import write_end_files


def job(**keys):
    """A job with some keys."""
    task = {"kind": "python", "callable": "user_code:tell"}
    return hpcmtl.Job.model_validate({"job": "family", "tasks": {"a": task}, **keys})


@pytest.mark.parametrize("report", ["auto", "always", "never"])
def test_the_report_is_written(tmp_path, report):
    """The run directory has the page unless the job leaves it out, and no trace that was not asked for."""
    run = two_tasks(tmp_path / "run")
    write_end_files(run, job(report=report))
    page = run.path / "report.html"

    assert page.exists() == (report != "never")
    assert report == "never" or "2 of 2 tasks complete" in page.read_text()
    assert not run.trace_file.exists()


def test_the_trace_is_written(tmp_path):
    """The run directory has the trace that the job asks for."""
    run = two_tasks(tmp_path / "run")
    write_end_files(run, job(report="never", track=["trace"]))

    assert json.loads(run.trace_file.read_text())["traceEvents"]


def test_a_failure_is_logged(tmp_path, caplog):
    """A page that cannot be made ends no run: the log says so, with the command that makes it later."""
    run = two_tasks(tmp_path / "run")
    run.plan_file.write_text("{")
    write_end_files(run, job(track=["trace"]))

    assert not (run.path / "report.html").exists()
    assert "plan.json" in caplog.text
    assert "`hpcmtl report` makes it later" in caplog.text
    assert "`hpcmtl export trace` makes it later" in caplog.text
