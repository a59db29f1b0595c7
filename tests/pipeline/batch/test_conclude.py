"""The end of an attempt, with a run directory as it is left and Slurm's commands played."""

import json

import pytest
from events import event
from fake_slurm import FakeSlurm

from hpcmtl.errors import InputError
from hpcmtl.pipeline.batch import conclude as module
from hpcmtl.pipeline.batch.conclude import LauncherExit, conclude
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.outcome.attempts import conclusions

JOB = {"SLURM_JOB_ID": "16", "HPCMTL_ATTEMPT_ID": "16.0"}
PLAN = {
    "ranks": 2,
    "makespan": 9.0,
    "tasks": [
        {"name": name, "kind": "train", "layers": 4, "start": 0.0, "end": 4.0, "width": 1}
        for name in ("digit", "joint")
    ],
}


class Run:
    """A run directory, and what attempts leave in it."""

    def __init__(self, path, requeues=5, **more):
        self.path = path / "family-1"
        self.path.mkdir()
        (self.path / "job.yaml").write_text("job: family\n")
        (self.path / "plan.json").write_text(json.dumps(PLAN))
        submission = {"requeues": requeues, "restart": "requeue", "script": str(self.path / "job.sbatch"), **more}
        (self.path / "submission.json").write_text(json.dumps(submission))

    def attempt(self, attempt, status=None, layers=0, first=0):
        """An attempt that ends some layers of `digit`, and leaves a record if it has a status."""
        ledger = Ledger(self.path / "events.jsonl")
        ledger.append(event("job_started", job="family", ranks=2, attempt_id=attempt))
        for layer in range(first, first + layers):
            ledger.append(event("layer_started", task="digit", layer=layer, layers=4, first_rank=0, ranks=1))
            ledger.append(event("layer_ended", task="digit", layer=layer, ranks=1))
        ledger.close()
        if status is not None:
            (self.path / "results.json").write_text(json.dumps({"status": status, "attempt_id": attempt}))


@pytest.fixture(autouse=True)
def fake(tmp_path, monkeypatch):
    """Slurm's commands, played; and signals as they are, for the tests after these."""
    made = FakeSlurm.accepting(tmp_path / "bin")
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.setattr(module, "_hold_signals", lambda: None)
    return made


def changes(fake):
    """The calls that change jobs."""
    return [call for call in fake.all_calls() if "show job" not in call]


def test_a_complete_run_ends_with_0(tmp_path, fake):
    """With this attempt's record of a complete run the job ends well, whatever the launcher said."""
    run = Run(tmp_path)
    run.attempt("16.0", "complete", layers=4)

    assert conclude(run.path, LauncherExit(1), JOB) == (0, "complete")
    assert changes(fake) == []


def test_the_record_of_another_attempt_is_none(tmp_path, fake):
    """The 0 of mpirun after a lost node is no success, and an older record is not this attempt's."""
    run = Run(tmp_path, requeues=0)
    run.attempt("16.0", "stopped", layers=2)
    run.attempt("16.1")

    code, line = conclude(run.path, LauncherExit(0), JOB | {"HPCMTL_ATTEMPT_ID": "16.1"})

    assert code == 1
    assert line.startswith("lost: it left no completion record (exit code 0); no further attempt was asked for")
    (run.path / "results.json").write_text('{"status": "complete", "atte')
    assert conclude(run.path, LauncherExit(0), JOB)[0] == 1
    assert changes(fake) == []


def test_a_stopped_run_is_requeued_up_to_its_bound(tmp_path, fake):
    """One plain line says which attempt follows and where it resumes; after the last one the job ends with 75."""
    run = Run(tmp_path, requeues=2)
    for number in range(2):
        run.attempt(f"16.{number}", "stopped", layers=1, first=number)
        code, line = conclude(run.path, LauncherExit(75), JOB | {"HPCMTL_ATTEMPT_ID": f"16.{number}"})
        assert code == 75
        assert line == (
            f"stopped with checkpoints; requeued by hpcmtl ({number + 1} of 2): resumes at layer {number + 2} of digit"
        )
    run.attempt("16.2", "stopped", layers=1, first=2)

    assert conclude(run.path, LauncherExit(75), JOB | {"HPCMTL_ATTEMPT_ID": "16.2"}) == (
        75,
        "stopped with checkpoints; all 2 further attempts are used",
    )
    assert changes(fake) == ["scontrol requeue 16"] * 2
    # A person who submits the run again has all attempts again: what counts is the chain of jobs, not the restarts.
    run.attempt("20.0", "stopped", layers=1, first=3)
    assert "(1 of 2)" in conclude(run.path, LauncherExit(75), {"SLURM_JOB_ID": "20", "HPCMTL_ATTEMPT_ID": "20.0"})[1]


def test_a_preempted_attempt_is_not_counted(tmp_path, fake):
    """Slurm's preemptions use up none of the further attempts, however many there are and however early they come."""
    shown = "JobId=16 JobState=RUNNING StartTime=2026-11-21T10:15:00 PreemptTime={} SuspendTime=None"
    fake.replies("scontrol", shown.format("2026-11-21T10:16:00"))
    run = Run(tmp_path, requeues=1)
    said = []
    for number in range(3):
        run.attempt(f"16.{number}", "stopped")
        said.append(conclude(run.path, LauncherExit(75), JOB | {"HPCMTL_ATTEMPT_ID": f"16.{number}"}))
    for number, at in ((3, "None"), (4, "2026-11-21T10:14:00")):  # of an earlier start
        fake.replies("scontrol", shown.format(at))
        run.attempt(f"16.{number}", "stopped", layers=1, first=number - 3)
        said.append(conclude(run.path, LauncherExit(75), JOB | {"HPCMTL_ATTEMPT_ID": f"16.{number}"}))

    assert {code for code, _ in said} == {75}
    assert {line for _, line in said[:3]} == {
        "stopped with checkpoints; requeued by hpcmtl (after preemption, not counted): resumes at the start"
    }
    assert "requeued by hpcmtl (1 of 1): resumes at layer 2" in said[3][1]
    assert said[4][1] == "stopped with checkpoints; the 1 further attempt is used"


def test_where_requeue_is_forbidden_a_successor_follows(tmp_path, fake):
    """A refused requeue becomes another job after this one; the attempts of the chain are counted together."""
    run = Run(tmp_path, requeues=2)
    fake.runs("scontrol", "echo 'Requested operation is presently disabled' >&2; exit 1")
    run.attempt("16.0", "stopped", layers=1)
    _, line = conclude(run.path, LauncherExit(75), JOB)
    assert "job 100 follows, submitted by hpcmtl (requeue refused: Requested operation" in line
    assert line.endswith("(1 of 2): resumes at layer 2 of digit")

    run.attempt("100.0", "stopped", layers=1, first=1)
    assert "(2 of 2)" in conclude(run.path, LauncherExit(75), {"SLURM_JOB_ID": "100", "HPCMTL_ATTEMPT_ID": "100.0"})[1]
    run.attempt("101.0", "stopped", layers=1, first=2)
    code, line = conclude(run.path, LauncherExit(75), {"SLURM_JOB_ID": "101", "HPCMTL_ATTEMPT_ID": "101.0"})
    assert (code, line) == (75, "stopped with checkpoints; all 2 further attempts are used")

    script = run.path / "job.sbatch"
    assert [call for call in fake.all_calls() if call.startswith("sbatch")] == [
        f"sbatch --parsable --dependency=afterany:16 {script}",
        f"sbatch --parsable --dependency=afterany:100 {script}",
    ]


def test_without_any_next_attempt_the_code_is_true(tmp_path, fake):
    """Where Slurm takes neither, the job ends with the code of the loss, and the line says what to do."""
    run = Run(tmp_path)
    for name in ("scontrol", "sbatch"):
        fake.runs(name, "echo 'slurm is down' >&2; exit 1")
    run.attempt("16.0", layers=1)

    code, line = conclude(run.path, LauncherExit(137), JOB)

    assert code == 137
    assert "slurm is down" in line
    assert line.endswith(f"submit it again: sbatch {run.path / 'job.sbatch'}")
    assert [each.action for each in conclusions(run.path)] == ["end"]


def test_a_point_of_an_array_comes_back_alone(tmp_path, fake):
    """A point is requeued by its own name, and its successor is an array of this point, told where its piece begins."""
    array = {**JOB, "SLURM_ARRAY_JOB_ID": "16", "SLURM_ARRAY_TASK_ID": "3"}
    run = Run(tmp_path, arguments=["1000"], restart="successor")
    run.attempt("16.0", "stopped", layers=1)
    conclude(run.path, LauncherExit(75), array)
    (run.path / "submission.json").write_text('{"requeues": 2}')
    conclude(run.path, LauncherExit(75), array)

    assert changes(fake) == [
        f"sbatch --parsable --dependency=afterany:16_3 --array=3 {run.path / 'job.sbatch'} 1000",
        "scontrol requeue 16_3",
    ]


def test_two_attempts_without_progress_are_enough(tmp_path, fake):
    """A run that dies before its first layer ends is tried once more, and then no longer; the line says so."""
    run = Run(tmp_path)
    assert "requeued by hpcmtl (1 of 5): resumes at the start" in conclude(run.path, LauncherExit(1), JOB)[1]
    code, line = conclude(run.path, LauncherExit(134), JOB | {"HPCMTL_ATTEMPT_ID": "16.1"})

    assert code == 134
    assert "two attempts in a row made no progress" in line
    # One that brought something in between starts the count anew.
    other = Run(tmp_path / "bin")
    for number, layers in enumerate([0, 1, 0]):
        other.attempt(f"16.{number}", layers=layers)
        assert "requeued" in conclude(other.path, LauncherExit(1), JOB | {"HPCMTL_ATTEMPT_ID": f"16.{number}"})[1]


def test_only_the_clock_tells_a_time_limit(tmp_path, fake):
    """A job that Slurm ends is left to Slurm, unless its time was up."""
    run = Run(tmp_path, time_limit=600)
    run.attempt("16.0", "stopped", layers=1)

    assert "Slurm has ended the job" in conclude(run.path, LauncherExit(143, 300.0, terminated=True), JOB)[1]
    assert changes(fake) == []
    assert "requeued" in conclude(run.path, LauncherExit(143, 595.0, terminated=True), JOB)[1]


def test_outside_slurm_and_without_a_run(tmp_path, fake):
    """Outside Slurm the line says how to go on; what is no run directory is refused and left alone."""
    run = Run(tmp_path)
    run.attempt("", "stopped", layers=1)

    assert conclude(run.path, LauncherExit(75), {}) == (75, "stopped with checkpoints; hpcmtl resume goes on with it")
    with pytest.raises(InputError, match="no run directory"):
        conclude(tmp_path, LauncherExit(0), JOB)
    assert not (tmp_path / "attempts.jsonl").exists()
