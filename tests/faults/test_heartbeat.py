"""A rank that sends no heartbeats is named while it is silent, and when it is back; the job goes on."""

import json
import signal

import pytest
from jobs import family, family_task
from runs import by_mpirun

STOP = "stop:rank=1,task=digit,layer=0,step=400"  # many heartbeats from its begin
ENVIRONMENT = {"HPCMTL_HEARTBEAT": "0.2", "HPCMTL_RANK_SPEED": "1:0.5", "HPCMTL_FAULT": STOP}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(450)]


def one(run, event):
    """The one event of a kind."""
    (found,) = [each for each in run.events if each["event"] == event]
    return found


def test_a_stopped_rank_is_suspect_until_it_goes_on(start):
    """A rank that stops in a layer is suspect, with its task and layer; it comes back and the job completes."""
    digit = family_task("digit", input="digits/images", epochs=60, layers=2, ranks=2)
    run = start(family(ranks=2, tasks={"digit": digit}), by_mpirun(2), env=ENVIRONMENT)
    run.until_event("rank_suspected", rank=1).until(lambda _: status(run)["suspects"])
    meanwhile = status(run)
    run.rank(1).send_signal(signal.SIGCONT)
    run.until_event("rank_recovered", rank=1).finish()
    suspect, back = one(run, "rank_suspected"), one(run, "rank_recovered")

    assert run.results["status"] == "complete", run.said
    assert run.returncode == 0
    assert 1.0 <= suspect["seconds"] < back["seconds"]
    assert (suspect["task"], suspect["layer"]) == ("digit", 0)
    assert "rank 1: no heartbeat for" in run.stderr
    assert "rank 1 is back" in run.stderr
    assert {each["rank"]: each["suspect"] for each in meanwhile["rank_heartbeats"]} == {0: False, 1: True}
    assert meanwhile["tasks"]["digit"]["status"] == "running"
    assert status(run)["status"] == "complete"
    assert status(run)["suspects"] == []
    assert run.leftovers() == []
    assert_probed(run)


def assert_probed(run):
    """The facts of all ranks are in `environment.json`, and the plan was made with the speeds that were given."""
    probed = json.loads((run.directory / "environment.json").read_text(encoding="utf-8"))["probe"]
    machine = json.loads((run.directory / "plan.json").read_text(encoding="utf-8"))["machine"]

    assert [(rank["rank"], rank["node"], rank["speed"]) for rank in probed["ranks"]] == [(0, 0, 1.0), (1, 0, 0.5)]
    assert probed["speeds_given"]
    assert machine["rank_speed"] == [1.0, 0.5]
    assert machine["rank_memory"] == [rank["memory"] for rank in probed["ranks"]]
    assert 0.3 <= machine["efficiency"] == probed["efficiency"] <= 1


def status(run):
    """Returns the contents of `status.json`; nothing before it is there."""
    files = list(run.folder.glob("runs/*/status.json"))
    return json.loads(files[0].read_text(encoding="utf-8")) if files else {}
