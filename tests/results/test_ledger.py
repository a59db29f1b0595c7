from __future__ import annotations

import errno
import fcntl
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest
from events import event
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.errors import InputError
from hpcmtl.results.ledger import Ledger, read


def tick(step, file=""):
    """An event with a number."""
    return event("learning_rate_changed", task=file, step=step, learning_rate=1.0)


def test_events_are_lines_with_time_in_utc(tmp_path):
    """The documented form: time with milliseconds, event, then the fields as given."""
    zone = timezone(timedelta(hours=2))
    with Ledger(tmp_path / "e", clock=lambda: datetime(2024, 5, 1, 12, 0, 0, 123456, zone)) as ledger:
        ledger.append(event("learning_rate_changed", task="digit", layer=2, learning_rate=float("nan")))
        ledger.append(event("world_shrunk", ranks=2, members=[0, 2], generation=1))

    assert (tmp_path / "e").read_text() == (
        '{"time": "2024-05-01T10:00:00.123+00:00", "event": "learning_rate_changed", '
        '"task": "digit", "layer": 2, "step": 0, "learning_rate": "nan"}\n'
        '{"time": "2024-05-01T10:00:00.123+00:00", "event": "world_shrunk", '
        '"ranks": 2, "members": [0, 2], "generation": 1}\n'
    )


def test_what_was_appended_is_read_in_order(tmp_path):
    """Also across two attempts of one job, and with text that has line breaks of every kind; harmful ones are shown."""
    texts = ["plain", "a\nb", "c\r\nd", "\u2028", "\udc80 undecodable", "ß"]
    for half in (texts[:3], texts[3:]):
        with Ledger(tmp_path / "e") as ledger:
            for text in half:
                ledger.append(event("job_stopping", reason=text))

    assert [found["reason"] for found in read(tmp_path / "e")] == [
        "plain",
        "a\nb",
        "c\r\nd",
        "\\u2028",
        "\\udc80 undecodable",
        "ß",
    ]


def test_an_event_is_readable_before_the_next_one(tmp_path):
    """Nothing waits in a buffer of the process."""
    with Ledger(tmp_path / "e") as ledger:
        ledger.append(event("job_stopping"))

        assert [found["event"] for found in read(tmp_path / "e")] == ["job_stopping"]


def test_threads_do_not_mix_lines(tmp_path):
    """Every event of every thread is there once, whole."""
    with Ledger(tmp_path / "e") as ledger, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda k: ledger.append(tick(k, "x" * 500)), range(200)))

    assert sorted(found["step"] for found in read(tmp_path / "e")) == list(range(200))


@given(cut=st.integers(0, 10_000))
def test_a_torn_last_line_is_passed_over_and_then_cut_off(tmp_path_factory, cut):
    """Wherever a kill ends the file, all whole lines are read and the next attempt goes on after them."""
    file = tmp_path_factory.mktemp("torn") / "e"
    with Ledger(file) as ledger:
        for k in range(3):
            ledger.append(tick(k))
    data = file.read_bytes()
    data = data[: cut % (len(data) + 1)]
    file.write_bytes(data)
    whole = data.count(b"\n")

    assert [found["step"] for found in read(file)] == list(range(whole))
    with Ledger(file) as ledger:
        ledger.append(tick(99))
    assert [found["step"] for found in read(file)] == [*range(whole), 99]


def test_zeros_at_the_end_are_a_torn_line(tmp_path):
    """A host that went down may leave a last line whose blocks never reached the disk."""
    with Ledger(tmp_path / "e") as ledger:
        ledger.append(tick(0))
    for tail in (b"\0" * 40, b"\0" * 40 + b"\n"):
        with (tmp_path / "e").open("ab") as file:
            file.write(tail)

        assert len(read(tmp_path / "e")) == 1
        Ledger(tmp_path / "e").close()
        assert (tmp_path / "e").read_bytes().count(b"\0") == 0


@pytest.mark.parametrize("damage", [b"{torn", b"", b"[1]", b'{"time": "x"}', b"\xff\xfe"])
def test_damage_before_the_last_line_is_an_error_with_file_and_line(tmp_path, damage):
    """The completed work is then unknown, so neither reading nor going on is possible."""
    file = tmp_path / "events.jsonl"
    file.write_bytes(b'{"event": "a"}\n' + damage + b'\n{"event": "b"}\n')

    for use in (read, Ledger):
        with pytest.raises(InputError, match=r"events\.jsonl \(line 2\): this line is no event"):
            use(file)
    assert damage in file.read_bytes()


def test_a_missing_ledger_is_an_error_with_its_name(tmp_path):
    """Somebody gave the wrong directory."""
    with pytest.raises(InputError, match=r"none: the ledger cannot be read: No such file"):
        read(tmp_path / "none")


def test_a_failed_append_leaves_the_ledger_as_it_was(tmp_path):
    """A disk that fills up within a line (here: a limit on the file size) leaves no torn line in the middle."""
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Ledger(tmp_path / "e") as ledger:
        ledger.append(tick(0))
        limit = (tmp_path / "e").stat().st_size + 30
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
            with pytest.raises(OSError, match="only 30 of"):
                ledger.append(tick(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
            signal.signal(signal.SIGXFSZ, handler)
        ledger.append(tick(2))

    assert [found["step"] for found in read(tmp_path / "e")] == [0, 2]


@pytest.mark.parametrize(
    ("code", "taken"), [(errno.ENOLCK, True), (errno.EINVAL, True), (524, True), (errno.EIO, False)]
)
def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch, code, taken):
    """Where there are no locks a ledger is written without one; any other error of the lock is raised."""

    def refuse(descriptor, operation):
        raise OSError(code, "refused")

    monkeypatch.setattr(fcntl, "flock", refuse)
    if taken:
        with Ledger(tmp_path / "e") as ledger:
            ledger.append(tick(1))

        assert len(read(tmp_path / "e")) == 1
    else:
        with pytest.raises(OSError, match="refused"):
            Ledger(tmp_path / "e")


def test_what_append_returned_from_survives_kill_9(tmp_path):
    """A writer killed at a random moment loses nothing that it had acknowledged."""
    program = (
        "import sys, pathlib; from hpcmtl.results.events import LearningRateChanged\n"
        "from hpcmtl.results.ledger import Ledger\n"
        "ledger = Ledger(pathlib.Path(sys.argv[1])); k = 0\n"
        "while True:\n"
        "    ledger.append(LearningRateChanged(task='', step=k, learning_rate=1.0)); print(k, flush=True); k += 1\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path / "e"], stdout=subprocess.PIPE, text=True) as writer:
        for line in writer.stdout:
            if line == "20\n":
                writer.kill()
                break
        acknowledged = [20, *map(int, writer.stdout)]

    events = read(tmp_path / "e")
    assert [found["step"] for found in events][: acknowledged[-1] + 1] == list(range(acknowledged[-1] + 1))
