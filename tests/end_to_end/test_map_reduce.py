"""The map-reduce tasks of the reference of job files, on groups of 1, 2 and 3 ranks of one real run."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
import yaml
from runs import CHECKOUT, PROGRAM

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = (CHECKOUT / "docs/job_file.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## map_reduce")[2].partition("\n## ")[0]
WIDTHS = (1, 2, 3)


@pytest.fixture(scope="module")
def counted(start_once, tmp_path_factory):
    """The run of the job on the page, with its tasks on groups of each width, one that fails, and one behind it."""
    (code,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    job = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)[1])
    modules = tmp_path_factory.mktemp("modules")
    (modules / "counts.py").write_text(code)
    (modules / "odd.py").write_text("def reduce(one, other):\n    raise ValueError('odd')\n")
    tasks = {"raw": job["tasks"].pop("raw")}
    for name, task in job["tasks"].items():
        tasks |= {f"{name}{ranks}": {**task, "ranks": ranks} for ranks in WIDTHS}
    tasks["odd"] = {**job["tasks"]["moments"], "reduce": "odd:reduce", "ranks": 2}
    tasks["after"] = {**job["tasks"]["vocabulary"], "needs": ["odd"], "input": "digits/digit"}
    run = start_once(
        {**job, "ranks": 3, "data": {"digits": "digits.h5"}, "modules": [str(modules)], "tasks": tasks}
    ).finish()
    raw = run.arrays("raw")
    return run, raw


def test_word_counts_are_those_of_a_counter(counted):
    """The words and their counts on each width are those of plain Python over the whole array."""
    run, raw = counted
    expected = Counter(word.decode() if isinstance(word, bytes) else str(word) for word in raw["word"])
    for ranks in WIDTHS:
        found = run.arrays(f"vocabulary{ranks}")
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in found["word"]]

        assert dict(zip(words, found["count"].tolist(), strict=True)) == expected
        assert run.results["tasks"][f"vocabulary{ranks}"]["metrics"] == {"words": 3.0}


def test_mean_and_deviation_have_the_same_bits_on_each_width(counted):
    """They equal numpy's over the whole array up to rounding, and each other to the bit."""
    run, raw = counted
    found = [run.arrays(f"moments{ranks}") for ranks in WIDTHS]

    assert np.allclose(found[0]["mean"], raw["pair"].mean(axis=0), rtol=1e-12, atol=0)
    assert np.allclose(found[0]["deviation"], raw["pair"].std(axis=0), rtol=1e-12, atol=0)
    assert found[0]["mean"].dtype == np.float64
    for name in ("mean", "deviation"):
        assert len({each[name].tobytes() for each in found}) == 1


def test_a_failed_task_names_its_rows_and_the_others_go_on(counted):
    """A reduction that fails on one rank of two fails the task alone, skips what needs it, and loses no rank."""
    run, _ = counted
    status = {name: task["status"] for name, task in run.results["tasks"].items()}

    assert run.returncode == 1, run.said
    assert status == {**dict.fromkeys(status, "complete"), "odd": "failed", "after": "skipped"}
    assert "task odd: raw/pair: reduce failed for rows 0 to 1999 (ValueError: odd)" in run.said
    assert "rank_lost" not in {event["event"] for event in run.events}


def test_an_interrupted_task_begins_again_with_the_same_bits(start_once, counted):
    """A rank of two is killed between two blocks, and `resume` gives the bits of the whole run."""
    run, _ = counted
    job = yaml.safe_load((run.folder / "job.yaml").read_text())
    job["ranks"], job["tasks"] = 2, {name: job["tasks"][name] for name in ("raw", "moments2")}
    stopped = start_once(job, env={"HPCMTL_FAULT": "kill:rank=1,task=moments2,layer=0,step=2"}).finish()
    resumed = start_once.again(stopped.folder, PROGRAM, ["resume", str(stopped.directory)]).finish()
    found, whole = resumed.arrays("moments2"), run.arrays("moments2")

    assert (stopped.returncode, resumed.returncode) == (75, 0), (stopped.said, resumed.said)
    assert [event["task"] for event in resumed.events if event["event"] == "layer_started"][-1] == "moments2"
    assert all(found[name].tobytes() == whole[name].tobytes() for name in ("mean", "deviation"))
