"""A name in a job file does not lead out of its run directory."""

import pytest
import yaml
from jobs import family, family_task

from hpcmtl.errors import InputError
from hpcmtl.pipeline.prepare import prepare
from hpcmtl.results.rundir.directory import RunDirectory, create
from hpcmtl.training.session import artifact_file, checkpoints_of

WAYS_OUT = [
    "../out",
    "/out",
    "a/b",
    "a/../../out",
    "..",
    ".",
    "~",
    "a\\b",
    "a\0b",
    "a\n",
    " a",
    "",
    ".hidden",
    "x" * 300,
]


def put(way, where):
    """A family in which a name that becomes part of a path is another."""
    digit = family_task("digit", input="digits/images")
    job = family(
        tasks={"digit": digit, "census": {"kind": "python", "callable": "user_code:census", "outputs": ["votes"]}}
    )
    if where == "job":
        job["job"] = way
    elif where == "task":
        job["tasks"][way] = digit
    elif where == "outputs":
        job["tasks"]["census"]["outputs"] = [way]
    elif where == "needs":
        job["tasks"]["census"]["needs"] = [way]
    elif where == "data":
        job["data"][way] = "digits.h5"
    elif where == "reference":
        digit["input"] = f"{way}/images"
    return job


@pytest.mark.parametrize("where", ["job", "task", "outputs", "needs", "data", "reference"])
def test_names_that_are_paths(family_file, where):
    """Whatever becomes a part of a path is a plain name, or the job is refused at that key."""
    for way in WAYS_OUT:
        family_file.write_text(yaml.safe_dump(put(way, where)))
        with pytest.raises(InputError) as refused:
            prepare(family_file)

        assert "job.yaml: " in str(refused.value), way


def test_names_in_code(tmp_path):
    """A run directory is made for plain names alone, also where no job file was checked."""
    for way in ("../out", "/out", "a/b", "..", ".hidden", ""):
        with pytest.raises(InputError):
            create(tmp_path / "runs", way)

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["a..b", "a.h5", "layer-000", "A" * 100])
def test_odd_names_stay_inside(tmp_path, name):
    """Names with dots, or as long as may be, lead to files of their own inside the run directory."""
    run = RunDirectory(tmp_path)
    paths = [artifact_file(run, name), checkpoints_of(run, name)]

    assert all(tmp_path in path.resolve().parents for path in paths)
    assert len({path.parent for path in paths}) == 2
