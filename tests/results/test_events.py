"""Events are values that the ledger can hold and give back."""

import io
import json
import logging
import pickle
from dataclasses import MISSING, FrozenInstanceError, fields

import pytest
from events import EXAMPLES

from hpcmtl.logs import _Formatter, harmless
from hpcmtl.results import events
from hpcmtl.results.event_format import from_fields, to_fields
from hpcmtl.results.strict_json import to_json


def kinds(base=events.RunEvent):
    """All events that may stand in a ledger: classes without subclasses."""
    below = base.__subclasses__()
    return {base} if not below else set().union(*map(kinds, below))


def test_the_examples_are_complete():
    """There is an example of each event, so that the contract of sinks covers a new one too."""
    assert {type(each) for each in EXAMPLES} == kinds()


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: event.name)
def test_events_survive_the_ledger_and_the_way_to_rank_0(event):
    """An event is equal after it was written as fields and read, and after it was sent to another rank."""
    assert from_fields(event.name, to_fields(event)) == event
    assert pickle.loads(pickle.dumps(event)) == event  # noqa: S301 - made here


def test_names_are_those_of_the_classes():
    """The name in the ledger is the name of the class in snake case, and no two events share one."""
    assert events.LearningRateChanged.name == "learning_rate_changed"
    assert len({kind.name for kind in kinds()}) == len(kinds())


def test_events_cannot_be_changed():
    """An event is a fact."""
    with pytest.raises(FrozenInstanceError):
        EXAMPLES[0].job = "another"


@pytest.mark.parametrize("fields", [{}, {"task": 3, "layer": 0, "ranks": 1}, {"task": "a", "layer": "x", "ranks": 1}])
def test_a_field_that_is_missing_or_of_another_type_is_an_error(fields):
    """A line that cannot be understood is not taken for something else."""
    with pytest.raises(ValueError, match="layer_ended|LayerEnded"):
        from_fields("layer_ended", fields)


@pytest.mark.parametrize("kind", sorted(kinds(), key=lambda kind: kind.name), ids=lambda kind: kind.name)
def test_a_number_that_an_earlier_version_did_not_write_is_zero(kind):
    """Every measurement, count and place that may be missing in a ledger counts as 0; the format is the present one."""
    numbers = {each.name: each.default for each in fields(kind) if isinstance(each.default, int | float)}
    formats = {"format": events.FORMAT} if kind is events.JobStarted else {}

    assert MISSING not in numbers.values()
    assert numbers == {**dict.fromkeys(numbers, 0), **formats}


def test_texts_of_others_are_harmless():
    """Escapes of a terminal, directions of writing and halves of surrogate pairs are shown, and not obeyed."""
    line = json.loads(to_json({"message": "bad \udc80 \x1b[2J", "name": "naïve ✓ 😀"}))
    read = from_fields("task_ended", {"task": "a", "status": "failed", "message": "\x1b]0;x\x07 \u202eab\tc\n"})
    logged = io.StringIO()
    handler = logging.StreamHandler(logged)
    handler.setFormatter(_Formatter("%(message)s"))
    handler.handle(logging.makeLogRecord({"msg": "colour \x1b[31m and \udcff"}))

    assert line == {"message": "bad \\udc80 \x1b[2J", "name": "naïve ✓ 😀"}
    assert read.message == "\\x1b]0;x\\x07 \\u202eab\tc\n"
    assert logged.getvalue() == "colour \\x1b[31m and \\udcff\n"
    assert harmless("naïve ✓ 😀\n\t") == "naïve ✓ 😀\n\t"
