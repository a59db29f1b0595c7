"""The report as one HTML file."""

import re
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner
from written_runs import planned, two_tasks, write_job, write_ledger, write_plan

from hpcmtl.cli.verbs import app
from hpcmtl.report.page import FILE, report_html, write_report
from hpcmtl.results.curves.point import TrainingPoint, to_fields
from hpcmtl.results.events import JobEnded, JobStarted, LayerEnded, LayerStarted, TaskEnded
from hpcmtl.results.rundir.directory import RunDirectory
from hpcmtl.results.strict_json import to_json

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Tags(HTMLParser):
    """Collects the tags of a page, with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def with_curves(run, task, count=400):
    """Adds curves to a run."""
    run.curves.mkdir(exist_ok=True)
    points = [TrainingPoint(step=step, losses={"loss": 1 / step}) for step in range(1, count)]
    points.append(TrainingPoint(step=count, ends_epoch=True, metrics={"val_accuracy": 0.75}))
    run.curve_file(task).write_text("".join(to_json(to_fields(point)) + "\n" for point in points))


def test_a_complete_run(tmp_path):
    """The page has the figures of the run with their units, its drawings, its metrics and its curves."""
    run = two_tasks(tmp_path / "run")
    with_curves(run, "b")
    page = report_html({"run": run})
    text = " ".join("".join(Tags(page).text).split())

    assert "The job is complete after 10 s, on 2 ranks: 2 of 2 tasks complete." in text
    assert "4 rank-seconds, 20.0 %" in text
    assert "communicate (apart from the steps)not measured" in text
    assert "Predicted to take 6 s, utilisation 50 %" in text
    assert "loss 0.5" in text
    assert "400 points were merged to 201" in text
    assert page.count("<svg") == 6


def test_the_page_needs_nothing_else(tmp_path):
    """No element refers to a file or a host, and nothing but the two known scripts and styles is in the page."""
    run = two_tasks(tmp_path / "run")
    page = report_html({"run": run})
    tags = Tags(page).found

    assert [tag for tag, _ in tags if tag in {"link", "img", "iframe", "object"}] == []
    assert [values for tag, values in tags if tag == "script"] == [{}]
    assert {values.get("href", "#")[0] for _, values in tags} == {"#"}
    assert re.findall(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page) == []


def test_hostile_texts_stay_texts(tmp_path):
    """Names, kinds, messages and metrics with markup in them add no element to the page."""
    run = RunDirectory(tmp_path)
    write_job(run, {HOSTILE: []}, kind=HOSTILE)
    write_plan(run, [planned(HOSTILE, 0, 3)], ranks=1)
    over = LayerEnded(
        task=HOSTILE, layer=0, ranks=1, seconds=1.0, metrics={HOSTILE: None}, undefined={HOSTILE: HOSTILE}
    )
    entries = [
        (0, JobStarted(job=HOSTILE, ranks=1, host=HOSTILE)),
        (0, LayerStarted(task=HOSTILE, layer=0, layers=1, first_rank=0, ranks=1)),
        (2, over),
        (2, TaskEnded(task=HOSTILE, status="failed", message=HOSTILE)),
        (3, JobEnded(status="failed")),
    ]
    write_ledger(run, entries)
    run.environment_file.write_text(to_json({"hosts": [HOSTILE], "versions": {HOSTILE: HOSTILE}}))
    tags = Tags(report_html({HOSTILE: run})).found

    assert [tag for tag, _ in tags].count("script") == 1
    assert [tag for tag, _ in tags if tag == "img"] == []
    assert [values for _, values in tags if any(key.startswith("on") for key in values)] == []


def test_several_runs_are_compared(tmp_path):
    """Runs stand side by side with their measurements, and each has its own part of the page."""
    runs = {name: two_tasks(tmp_path / name) for name in ("one", "two")}
    text = "".join(Tags(report_html(runs)).text)

    assert "Comparison of 2 runs" in text
    assert "b.loss" in text
    assert text.count("Where the time went") == 2


@pytest.mark.parametrize("count", [0, 1])
def test_a_run_that_has_not_begun(tmp_path, count):
    """A run without a ledger is told by its plan, also one of a single task and one of none."""
    run = RunDirectory(tmp_path)
    write_job(run, {"a": []} if count else {})
    write_plan(run, [planned("a", 0, 2)] if count else [], ranks=4)
    text = "".join(Tags(report_html({"run": run})).text)

    assert f"The job has not begun, on 4 ranks: 0 of {count} task" in text


def test_the_file_is_written_whole(tmp_path):
    """The report takes the place of an earlier one."""
    run = two_tasks(tmp_path / "run")
    (run.path / FILE).write_text("earlier")
    write_report({"run": run}, run.path / FILE)

    assert (run.path / FILE).read_text().startswith("<!DOCTYPE html>")


def test_the_command(tmp_path):
    """The command writes into the run or to a given file, and refuses a damaged run and a folder that is missing."""
    run = two_tasks(tmp_path / "run")
    inside = CliRunner().invoke(app, ["report", str(run.path)])
    beside = CliRunner().invoke(app, ["report", str(run.path), "--out", str(tmp_path / "page.html")])
    missing = CliRunner().invoke(app, ["report", str(run.path), "--out", str(tmp_path / "no" / "page.html")])
    run.plan_file.write_text("{")
    damaged = CliRunner().invoke(app, ["report", str(run.path)])

    assert (inside.exit_code, beside.exit_code) == (0, 0), inside.output + beside.output
    assert (run.path / FILE).read_text() == (tmp_path / "page.html").read_text()
    assert "there is no folder" in str(missing.exception)
    assert "plan.json" in str(damaged.exception)
