"""A run that was killed or stopped goes on, on any number of ranks, and ends as one that was not."""

import json
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import yaml
from jobs import family, family_task, python_job, write_job
from runs import ABORTING, PROGRAM, by_mpirun

from hpcmtl.exchange.store import read_sealed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def job(**changes):
    """A task of six layers on two ranks, on which a prediction and a metric depend."""
    digit = family_task("digit", input="digits/images", epochs=60, layers=6, ranks=2)
    tasks = {
        "digit": digit,
        "outputs": {"kind": "predict", "needs": {"digit": "parameters"}, "ranks": 1},
        "report": {"kind": "evaluate", "needs": {"digit": "parameters"}, "ranks": 1},
    }
    return family(ranks=2, tasks=tasks, checkpoints={"interval": 0.1}, **changes)


def resume(start, run, *words, ranks=None, env=None):
    """Go on with a run; with `ranks`, by an mpirun of the user's own."""
    command = PROGRAM if ranks is None else by_mpirun(ranks, ABORTING)
    return start.again(run.folder, command, ["resume", str(run.directory), *words], env)


def weights(run):
    """Returns the arrays that the digit task has published."""
    return read_sealed(run.directory / "artifacts" / "digit.h5")[0]


def done_once(run):
    """The layers that have ended, by the ledger."""
    return sorted((event["task"], event["layer"]) for event in run.events if event["event"] == "layer_ended")


@pytest.fixture(scope="module")
def whole(start_once):
    """The run that nobody disturbed."""
    run = start_once(job()).finish()
    assert run.returncode == 0, run.said
    return run


@pytest.fixture(scope="module")
def killed(start_once):
    """A run that lost a rank inside a layer, and the attempt to resume it that came too early."""
    run = start_once(job(), by_mpirun(2), ["run", "job.yaml", "--runs", "runs"], {"HPCMTL_FT": "0"})
    run.until_event("layer_started", task="digit", layer=2)
    seen = len(run.events)
    run.until(lambda run: any(e["event"] == "checkpoint_written" for e in run.events[seen:]))
    living = [run.rank(0), run.rank(1)]
    for rank in living:
        rank.suspend()
    early = resume(start_once, run).finish()
    living[1].kill()
    living[0].resume()
    return run.finish(), early


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_killed_run_goes_on(start, whole, killed, tmp_path, ranks):
    """A rank dies inside a layer; the next attempt, refused while the first lives, ends with equal weights."""
    first, early = killed
    shutil.copytree(first.folder, tmp_path / "copy", symlinks=True)  # each number of ranks resumes the same state
    run = replace(first, folder=tmp_path / "copy")
    again = resume(start, run, ranks=ranks, env={"HPCMTL_ATTEMPT_ID": "77.1"}).finish()
    started = [event for event in again.events if event["event"] == "job_started"]
    more, told = resume(start, run).finish(), resume(start, run, "--json").finish()

    assert early.returncode == 3, early.said
    assert "this run goes on" in early.stderr
    assert first.returncode != 0
    assert again.returncode == 0, again.said
    assert f"{ranks} ranks" in again.stdout
    assert "attempt 2" in again.stdout
    assert [(event["attempt"], event["attempt_id"]) for event in started] == [(1, ""), (2, "77.1")]
    assert (again.results["attempt"], again.results["attempt_id"]) == (2, "77.1")
    assert done_once(again) == done_once(whole)
    assert again.results["tasks"]["digit"]["layers"] == 6
    assert again.results["tasks"]["digit"]["metrics"] == pytest.approx(whole.results["tasks"]["digit"]["metrics"])
    assert again.results["tasks"]["report"]["metrics"] == whole.results["tasks"]["report"]["metrics"]
    for name, array in weights(again).items():
        assert np.array_equal(array, weights(whole)[name])
    assert more.returncode == 0, more.said
    assert "nothing is left to be done" in more.stderr
    assert more.stdout == again.stdout
    assert json.loads(told.stdout) == again.results


def test_damaged_artifacts_of_a_complete_run(start, whole, tmp_path):
    """Artifacts that no task needs again are checked all the same: `verify` names them, and `resume` makes them."""
    shutil.copytree(whole.folder, tmp_path / "copy", symlinks=True)
    run = replace(whole, folder=tmp_path / "copy")

    def verify():
        return start.again(run.folder, PROGRAM, ["verify", str(run.directory)]).finish()

    sound = verify()
    artifact = run.directory / "artifacts" / "digit.h5"
    content = bytearray(artifact.read_bytes())
    content[len(content) // 2] ^= 8
    artifact.write_bytes(content)
    (run.directory / "artifacts" / "outputs.h5").unlink()
    found = verify()
    again = resume(start, run).finish()
    remade = [event["task"] for event in again.events if event["event"] == "artifact_damaged"]

    assert (sound.returncode, "all are sound" in sound.stdout) == (0, True), sound.said
    assert found.returncode == 1, found.said
    assert "artifact artifacts/digit.h5: " in found.stdout
    assert "artifacts/outputs.h5: does not exist" in found.stdout
    assert (again.returncode, again.results["attempt"], sorted(remade)) == (0, 2, ["digit", "outputs"]), again.said
    assert verify().returncode == 0
    for name, array in weights(again).items():
        assert np.array_equal(array, weights(whole)[name])


def test_a_module_that_was_edited_before_a_resume_is_said(start):
    """The tasks that have values of the code before are named once, and not where nothing was edited."""
    job = python_job("edited_later", ranks=1)
    job["tasks"]["before"] = {"kind": "python", "callable": "user_code:does_nothing", "ranks": 1}
    run = start(job).finish()
    same = resume(start, run).finish()
    module = run.folder / "user_code.py"
    module.write_text(module.read_text().replace("EDITED = False", "EDITED = True"))
    again = resume(start, run).finish()
    said = f"{module}: edited since the run began; these tasks have values of the code before: before\n"

    assert (run.returncode, same.returncode, again.returncode) == (1, 1, 0), again.said
    assert "edited since" not in run.stderr + same.stderr
    assert again.stderr.count(said) == 1


def test_a_stopped_run_goes_on_with_another_job_file(start, whole):
    """A task that has begun may not be changed, and the message says the remedy; one that has not begun may."""
    run = start(job()).until_event("layer_started", task="digit", layer=1)
    run.process.send_signal(signal.SIGUSR1)
    run.finish()
    changed = job(seed=4)
    changed["tasks"]["digit"]["epochs"] = 61
    changed["tasks"]["outputs"]["batch_size"] = 16
    file = write_job(run.folder, changed)
    file.rename(run.folder / "changed.yaml")
    refused = resume(start, run, "--job", "changed.yaml").finish()
    changed = job()
    changed["tasks"]["outputs"]["batch_size"] = 16
    changed["tasks"]["digit"]["priority"] = 3
    (run.folder / "changed.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    assert not (run.directory / "results.1.json").exists()
    again = resume(start, run, "--job", "changed.yaml", "--ranks", "3").finish()

    assert run.returncode == 75, run.said
    assert refused.returncode == 2
    assert "changed.yaml: seed (line 4): was 3 and is 4" in refused.stderr
    assert "changed.yaml: tasks.digit.epochs (line" in refused.stderr
    assert "was 60 and is 61, but has begun: begin a new run with `hpcmtl run`" in refused.stderr
    assert "outputs" not in refused.stderr
    assert again.returncode == 0, again.said
    assert yaml.safe_load((run.directory / "job.yaml").read_text())["tasks"]["outputs"]["batch_size"] == 16
    assert (run.directory / "results.1.json").exists()
    for name, array in weights(again).items():
        assert np.array_equal(array, weights(whole)[name])


def test_a_run_that_has_not_begun(start, tmp_path):
    """A directory with a job file alone, as `hpcmtl submit` makes it, is a run that begins."""
    tasks = {"digit": family_task("digit", input="digits/images", epochs=1, ranks=1)}
    run = start(family(ranks=1, tasks=tasks), words=["validate", "job.yaml"]).finish()
    again = start.again(run.folder, PROGRAM, ["resume", ".", "--ranks", "2"]).finish()
    nothing = start.again(tmp_path, PROGRAM, ["resume", "no-such-run"]).finish()

    assert again.returncode == 0, again.said
    assert (run.folder / "results.json").exists()
    assert nothing.returncode == 2
    assert "no runs in runs/ (looked in " in nothing.stderr
