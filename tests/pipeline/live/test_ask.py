"""The view that the run directory alone gives of a request, and the limits of waiting for an answer."""

import json
import threading

import pytest
import yaml
from events import event

from hpcmtl.errors import EnvironmentUnfitError, InputError
from hpcmtl.pipeline.live.ask import ask, check
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.rundir.directory import create
from hpcmtl.results.rundir.requests import Answer, give_answer, new_request, take


@pytest.fixture
def run(tmp_path):
    """A run without a process, of a train task, a python task, and one that has ended."""
    run = create(tmp_path / "runs", "job")
    tasks = {"digit": {"kind": "train"}, "tally": {"kind": "python"}, "over": {"kind": "train"}}
    run.job_file.write_text(yaml.safe_dump({"tasks": tasks}))
    facts = {name: {"has_learning_rate": task["kind"] == "train"} for name, task in tasks.items()}
    planned = [{"name": name, "facts": each} for name, each in facts.items()]
    run.plan_file.write_text(json.dumps({"tasks": planned}))
    with Ledger(run.ledger_file) as ledger:
        ledger.append(event("task_ended", task="over", status="complete", message=""))
    return run


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pause", "digt"), "digt: there is no such task; did you mean 'digit'?"),
        (("pause", "over"), "the task has ended: it is complete"),
        (("set", "tally", {"learning_rate": 0.1}), "task tally is of kind python, which has no learning rate"),
        (("set", "digit", {"learning_rate": -1.0}), "learning_rate is a number above 0"),
    ],
)
def test_nonsense_is_not_even_asked(run, words, message):
    """A request that is wrong by itself is refused at once, and nothing is left behind."""
    with pytest.raises(InputError) as refused:
        check(run, new_request(*words))

    assert message in str(refused.value)
    assert list(run.requests.iterdir()) == []


def test_a_run_that_is_over_is_not_asked(run):
    """The results are there: nothing can be changed, which is another exit code than bad input."""
    run.results_file.write_text('{"status": "complete"}')
    with pytest.raises(EnvironmentUnfitError, match=r"the run has ended \(complete\)"):
        check(run, new_request("pause", "digit"))


def test_the_record_of_an_earlier_attempt_ends_nothing(run):
    """While a later attempt runs its tasks can be changed, also those that had failed in the one before."""
    with Ledger(run.ledger_file) as ledger:
        ledger.append(event("task_ended", task="tally", status="failed", message="boom"))
        ledger.append(event("job_started", job="job", ranks=1, policy="variable", attempt=2, attempt_id="16.1"))
    run.results_file.write_text('{"status": "stopped", "attempt": 1, "attempt_id": "16.0"}')
    check(run, new_request("pause", "digit"))
    check(run, new_request("pause", "tally"))
    check(run, new_request("cancel"))
    with pytest.raises(InputError, match="the task has ended: it is complete"):
        check(run, new_request("pause", "over"))
    run.results_file.write_text('{"status": "stopped", "attempt": 2, "attempt_id": "16.1"}')
    with pytest.raises(EnvironmentUnfitError, match=r"the run has ended \(stopped\)"):
        check(run, new_request("cancel"))


def test_nobody_answers(run):
    """A dead run leaves the request where it was: it is withdrawn, so that it does not act later."""
    with pytest.raises(EnvironmentUnfitError, match="no answer within 0.2 s.*withdrawn"):
        ask(run, new_request("pause", "digit"), 0.2)

    assert list(run.requests.iterdir()) == []


def test_taken_but_not_answered(run):
    """A job that has the request but is slow is not called dead, and the place of the answer is named."""
    request = new_request("pause", "digit")
    taker = threading.Thread(target=lambda: _until(lambda: take(run.requests)))
    taker.start()
    with pytest.raises(EnvironmentUnfitError, match=f"took the request.*{request.id}.answer.json"):
        ask(run, request, 1.0)
    taker.join()


def test_the_answer_is_returned(run):
    """The answer of the job comes back; without waiting nothing does."""

    def serve():
        (request,) = _until(lambda: take(run.requests))
        give_answer(run.requests, request.id, Answer(True, "yes"))

    server = threading.Thread(target=serve)
    server.start()
    answer = ask(run, new_request("pause", "digit"), 30.0)
    server.join()

    assert answer == Answer(True, "yes")
    assert ask(run, new_request("pause", "digit"), 0.0) is None
    assert len(take(run.requests)) == 1


def _until(look):
    """The first thing that a look finds."""
    while not (found := look()):
        pass
    return found
