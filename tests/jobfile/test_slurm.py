"""Time limits as people and Slurm write them, and the keys of the `slurm` section."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import load_job, parse_job
from hpcmtl.jobfile.slurm import parse_time, time_text

JOB = {"job": "a", "tasks": {"t": {"kind": "python", "callable": "m:f"}}}


@given(st.integers(1, 10**7))
def test_what_is_written_is_read(seconds):
    """Slurm's form of a time is read back as the same time."""
    assert parse_time(time_text(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("1:30", 90),
        ("1:30:00", 5400),
        ("2-12", 216000),
        ("1-12:30", 131400),
        ("1-12:30:05", 131405),
        ("90s", 90),
        ("45m", 2700),
        ("1h30m", 5400),
        ("2d", 172800),
    ],
)
def test_forms_of_a_time(text, seconds):
    """Units, and every form of Slurm with its meaning there: a bare number is minutes, `1:30` a minute and a half."""
    assert parse_time(text) == seconds


@pytest.mark.parametrize("value", [90, 5400, "0", "soon", "1:2:3:4", "-5", "", "0:00", None, True])
def test_what_is_no_time_is_refused(value):
    """A bare number of a file is refused as well, since YAML makes 5400 of 1:30:00."""
    with pytest.raises(ValueError, match="1h30m"):
        parse_time(value)


def test_a_resolved_job_is_read_again(tmp_path):
    """The section survives the way through a run directory's job.yaml."""
    section = {"time": "1-02:00:00", "nodes": 2, "modules": "gcc", "extra": ["--mem=4G"], "site": "here"}
    job = parse_job({**JOB, "slurm": section})
    file = tmp_path / "job.yaml"
    file.write_text(yaml.safe_dump(job.model_dump(mode="json", by_alias=True, exclude_none=True)))

    assert load_job(file) == job
    assert job.slurm is not None
    assert (job.slurm.time, job.slurm.modules) == (93600, ("gcc",))
    assert "slurm" not in parse_job(JOB).model_dump(exclude_none=True)


def test_unknown_keys_have_a_hint():
    """A key that is nearly right is named with the right one, and a line break cannot come into a directive."""
    with pytest.raises(InputError, match=r"slurm\.partion: .*did you mean 'partition'"):
        parse_job({**JOB, "slurm": {"partion": "x"}})
    with pytest.raises(InputError, match=r"slurm\.extra\.0: found a line break"):
        parse_job({**JOB, "slurm": {"extra": "--mem=4G\nrm -r x"}})
    with pytest.raises(InputError, match=r"slurm\.partition: found 'a b'; write one word"):
        parse_job({**JOB, "slurm": {"partition": "a b"}})
