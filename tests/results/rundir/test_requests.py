"""A request is taken once or withdrawn, in order, whole, and answered where who asked looks."""

import json
import os
import pwd
import stat

from hpcmtl.results.rundir.requests import (
    LARGEST,
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

    (tmp_path / "deep.json").write_text("[" * 100_000)
    found = take(tmp_path)

    assert [each.id for each in found] == ["deep", "odd", "torn"]
    assert {each.reason for each in found} == {"this is no request: this version of hpcmtl cannot read it"}


def test_files_of_others_are_not_read(tmp_path, monkeypatch):
    """Links, pipes, folders, large files and files of other users are named, not read; requests of root are taken."""
    fields = json.dumps({"verb": "pause", "by": "mallory@there\x1b[2J", "task": "a", "values": {}})
    (tmp_path / "ours.json").write_text(fields)
    (tmp_path / "link.json").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text(fields)
    (tmp_path / "zeros.json").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(LARGEST + 1)
    found = {each.id: each for each in take(tmp_path)}

    assert found.pop("ours").by == f"{pwd.getpwuid(os.geteuid()).pw_name}@there?[2J"
    assert {name: each.reason.removeprefix("this is no request: ") for name, each in found.items()} == {
        "folder": "it is no regular file",
        "large": "it is larger than 16 MiB",
        "link": "this version of hpcmtl cannot read it",
        "pipe": "it is no regular file",
        "zeros": "this version of hpcmtl cannot read it",
    }

    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    (tmp_path / "foreign.json").write_text(fields)
    if os.getuid():
        (foreign,) = take(tmp_path)
        assert "it belongs to" in foreign.reason
    else:
        assert [each.id for each in take(tmp_path)] == ["foreign"]
        os.chown(tmp_path / "foreign.taken.json", 12345, -1)
        (tmp_path / "foreign.taken.json").rename(tmp_path / "again.json")
        (foreign,) = take(tmp_path)
        assert foreign.reason == "this is no request: it belongs to 12345, and the job to 4000000"


def test_the_folder_is_the_owners(tmp_path):
    """Only the owner of a run may put requests into it, whatever the umask."""
    folder = tmp_path / "requests"
    submit(folder, new_request("pause", "a"))

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_ledger_is_told_names_of_added_tasks():
    """The contents of a request may be long: of mappings the keys are enough."""
    request = Request("1", "add", "me@here", values={"file": "more.yaml", "tasks": {"a": {"kind": "predict"}}})

    assert request.to_event()["values"] == {"file": "more.yaml", "tasks": ["a"]}
