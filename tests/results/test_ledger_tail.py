"""A ledger that is read while it grows gives what a whole reading gives, each entry once."""

import pytest
from events import event
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.errors import InputError
from hpcmtl.results.ledger import Ledger, read_events
from hpcmtl.results.ledger_tail import LedgerTail

EVENTS = [
    event("job_started", job="j", ranks=2),
    event("layer_started", task="a", layer=0, layers=2, first_rank=0, ranks=2),
    event("layer_ended", task="a", layer=0, ranks=2, steps=4),
    event("task_ended", task="a", status="complete"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A ledger and its bytes."""
    path = tmp_path_factory.mktemp("whole") / "events.jsonl"
    with Ledger(path) as ledger:
        for each in EVENTS * 3:
            ledger.append(each)
    return read_events(path), path.read_bytes()


@given(cuts=st.lists(st.integers(0, 2000), max_size=12))
def test_any_pieces_are_the_whole(whole, tmp_path, cuts):
    """Wherever a reader looks, in the middle of a line as well, it gets each entry once, in order."""
    entries, data = whole
    path = tmp_path / "events.jsonl"
    path.unlink(missing_ok=True)
    tail, found = LedgerTail(path), []
    found += tail.new_entries()
    for cut in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        with path.open("ab") as file:
            file.write(data[path.stat().st_size : cut])
        found += tail.new_entries()

    assert found == entries
    assert tail.new_entries() == []


def test_another_file_is_noticed(whole, tmp_path):
    """A ledger that was replaced, cut or removed is read from its beginning by another reader."""
    _, data = whole
    path, other = tmp_path / "events.jsonl", tmp_path / "other"
    path.write_bytes(data)
    tail = LedgerTail(path)
    tail.new_entries()
    other.write_bytes(data)
    other.replace(path)

    assert tail.new_entries() is None

    tail = LedgerTail(path)
    tail.new_entries()
    path.write_bytes(data[:300])

    assert tail.new_entries() is None

    path.unlink()

    assert tail.new_entries() is None


def test_damage_is_named_by_its_line(whole, tmp_path):
    """A damaged line has its number in the whole file, whatever was read before."""
    _, data = whole
    path = tmp_path / "events.jsonl"
    path.write_bytes(data)
    tail = LedgerTail(path)
    tail.new_entries()
    with path.open("ab") as file:
        file.write(data.splitlines(keepends=True)[1] + b"no event\n" + data)

    with pytest.raises(InputError, match=rf"events\.jsonl \(line {len(EVENTS) * 3 + 2}\): this line is no event"):
        tail.new_entries()
