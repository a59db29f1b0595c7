"""HPCMTL_FAULT as values: what is understood, and what is refused with what is allowed."""

import pytest

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.faults.request import ALL_RANKS, Fault, requested


def asked(text):
    """Returns the faults that a value of the variable asks for."""
    return requested({"HPCMTL_FAULT": text})


def test_off():
    """Without the variable, or with an empty one, nothing is asked for."""
    assert requested({}) == asked("") == asked(" ; ") == ()


def test_faults_of_steps_and_files():
    """Each part is one fault; a word alone is what is written, or `every`."""
    kill, slow, full, flip = asked(
        "kill:rank=1,task=digit,layer=2,step=5; slow:rank=all,seconds=0.2;full:write=ledger,every;flip:checkpoint,nth=2"
    )

    assert kill == Fault("kill:rank=1,task=digit,layer=2,step=5", "kill", rank=1, task="digit", layer=2, step=5)
    assert (slow.rank, slow.seconds, slow.every) == (ALL_RANKS, 0.2, True)
    assert (full.write, full.every, full.nth) == ("ledger", True, 1)
    assert (flip.write, flip.stage, flip.nth) == ("checkpoint", "done", 2)


def test_a_bit_of_a_parameter():
    """With a step, `flip` is of a parameter in memory."""
    flip = asked("flip:rank=1,task=digit,step=5")[0]

    assert (flip.write, flip.rank, flip.step) == ("", 1, 5)


def test_stage_of_writing():
    """A process that is killed while it writes is killed in the middle, unless another stage is said."""
    assert asked("kill:checkpoint")[0].stage == "half"
    assert asked("kill:checkpoint,stage=before-rename,attempt=2")[0].attempt == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kil:rank=1", "there is no fault 'kil'; did you mean 'kill'?"),
        ("kill:rang=1", "found 'rang=1'; did you mean 'rank'?"),
        ("kill:rank=one", "rank is 'one'; write a rank, or all"),
        ("kill:step=-1", "step is '-1'; write a number of steps, from 0"),
        ("full:rank=1", "full needs `write`: one of checkpoint, artifact"),
        ("flip:rank=1", "flip needs `write`: one of checkpoint, artifact"),
        ("flip:write=checkpiont", "write is 'checkpiont'; did you mean 'checkpoint'?"),
        ("kill:checkpoint,stage=renamed", "stage is 'renamed'; did you mean "),
        ("kill:checkpoint,step=3", "`step` does not go with kill of a file"),
        ("kill:step=3,nth=2", "`nth` does not go with kill of a step"),
        ("flip:checkpoint,stage=half", "`stage` does not go with flip of a file"),
        ("slow:rank=1", "`seconds`, above 0, belongs to slow"),
        ("kill:seconds=1", "`seconds`, above 0, belongs to slow"),
        ("slow:seconds=nan", "seconds is 'nan'; write seconds, up to 3600"),
        ("kill:checkpoint,nth=0", "`nth` and `attempt` count from 1"),
    ],
)
def test_refusals(text, said):
    """A value outside of the syntax is refused with the part, the text found, and all kinds and keys."""
    with pytest.raises(EnvironmentUnfitError) as refused:
        asked(f"stop:rank=1;{text}")

    assert str(refused.value).startswith(f"HPCMTL_FAULT: {text!r}: ")
    assert said in str(refused.value)
    assert "kinds are kill, stop, slow, raise, full, truncate, flip; keys are rank, task" in str(refused.value)
