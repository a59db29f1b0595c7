"""The report at the end of an attempt."""

from written_runs import two_tasks

from hpcmtl.pipeline.run.end_report import write_end_report


def test_the_report_is_written(tmp_path):
    """The run directory has the page."""
    run = two_tasks(tmp_path / "run")
    write_end_report(run)

    assert "2 of 2 tasks complete" in (run.path / "report.html").read_text()


def test_a_failure_is_logged(tmp_path, caplog):
    """A page that cannot be made ends no run: the log says so, with the way to make it later."""
    run = two_tasks(tmp_path / "run")
    run.plan_file.write_text("{")
    write_end_report(run)

    assert not (run.path / "report.html").exists()
    assert "no report was written" in caplog.text
    assert "plan.json" in caplog.text
