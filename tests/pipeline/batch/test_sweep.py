"""Values of `--set`."""

import pytest

from hpcmtl.errors import InputError
from hpcmtl.pipeline.batch.sweep import changes_of


@pytest.mark.parametrize(("word", "remedy"), [("tasks.a.epochs=010", "write 10"), ("seed=1,yes", "write true")])
def test_values_are_those_of_yaml_1_2(word, remedy):
    """A value that readers disagree on is refused as in a job file; a number may have an exponent."""
    with pytest.raises(InputError, match=remedy):
        changes_of([word])

    assert changes_of(["rate=1e-3"]) == [{"rate": 0.001}]
