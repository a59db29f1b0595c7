"""A request is taken once or withdrawn, in order, whole, and answered where who asked looks."""

import json

from hpcmtl.results.rundir.requests import (
    Answer,
    Request,
    give_answer,
    new_request,
    read_answer,
    submit,
    take,
    withdraw,
)


def test_what_is_left_is_taken_in_order_and_once(tmp_path):
    """Requests come as they were made, the oldest first, and a second look finds nothing."""
    requests = [new_request("pause", "a"), new_request("set", "b", {"priority": 3}), new_request("unpause", "a")]
    for request in reversed(requests):
        submit(tmp_path / "requests", request)

    assert take(tmp_path / "requests") == requests
    assert take(tmp_path / "requests") == []
    assert take(tmp_path / "nowhere") == []


def test_withdrawn_or_taken(tmp_path):
    """Of the two that reach for a request one gets it."""
    early, late = new_request("pause", "a"), new_request("pause", "a")
    submit(tmp_path, early)

    assert withdraw(tmp_path, early)
    assert take(tmp_path) == []

    submit(tmp_path, late)

    assert take(tmp_path) == [late]
    assert not withdraw(tmp_path, late)


def test_an_answered_request_is_not_taken_again(tmp_path):
    """The same file twice makes one request; the answer stays."""
    request = new_request("pause", "a")
    submit(tmp_path, request)
    take(tmp_path)
    give_answer(tmp_path, request.id, Answer(False, "no"))
    submit(tmp_path, request)

    assert take(tmp_path) == []
    assert take(tmp_path) == []
    assert read_answer(tmp_path, request) == Answer(False, "no")
    assert read_answer(tmp_path, new_request("pause", "a")) is None


def test_half_a_file_is_not_read_and_nonsense_is_named(tmp_path):
    """A file that is still being written has another name; a file that is no request is known by its name alone."""
    (tmp_path / ".early.json.123").write_text('{"verb": "pau')
    (tmp_path / "odd.json").write_text(json.dumps({"verb": "pause"}))
    (tmp_path / "torn.json").write_text('{"verb": "pau')

    assert take(tmp_path) == ["odd", "torn"]


def test_the_ledger_is_told_names_of_added_tasks():
    """The contents of a request may be long: of mappings the keys are enough."""
    request = Request("1", "add", "me@here", values={"file": "more.yaml", "tasks": {"a": {"kind": "predict"}}})

    assert request.to_event()["values"] == {"file": "more.yaml", "tasks": ["a"]}
