"""Faults on purpose in one small real job on 4 ranks: each run ends with the same weights, or says that it does not.

The runs that end well are also looked at for what they must not do: copy secrets, or give files other permissions than
the user's.
"""

import json
import stat
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from jobs import family, family_task
from runs import PROGRAM

from hpcmtl.exchange.store import read_sealed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TEN_SECONDS = 10
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI-planted",
    "HF_TOKEN": "hf_planted0123456789",
    "HPCMTL_TEST_PASSWORD": "correct-horse-planted",
    "SSH_PRIVATE_KEY": "-----BEGIN OPENSSH PRIVATE KEY----- planted",
}
# The slow rank sleeps for longer than it would take a silent one to be taken for dead.
SURVIVED = [
    "raise:rank=all,task=digit,layer=1,step=3",
    "slow:rank=1,task=digit,layer=0,step=2,seconds=5.5",
    "full:status,nth=2",
]
WATCHED = {"HPCMTL_HEARTBEAT": "0.5", "HPCMTL_HUNG_SECONDS": "1.5"}


@dataclass(frozen=True)
class End:
    """A fault that the run cannot survive.

    Attributes:
        fault: as in HPCMTL_FAULT.
        said: what stderr says of it.
        events: that the ledger has of it.
        layers: of the task digit that may have ended.
        code: exit code of the run; None for any but 0 and 75.
    """

    fault: str
    said: str
    events: tuple[str, ...] = ()
    layers: tuple[int, ...] = (0, 1, 2, 3)
    env: dict[str, str] = field(default_factory=dict)
    code: int | None = None


ENDS = {
    "killed": End("kill:rank=1,task=digit,layer=2,step=1", "kill:rank=1", layers=(0, 1), env={"HPCMTL_FT": "0"}),
    "hung": End(
        "stop:rank=1,task=digit,layer=1,step=1",
        "rank 1 on {host} hangs: no heartbeat for",
        ("rank_suspected", "rank_hung"),
        (0,),
        {"HPCMTL_HEARTBEAT": "0.2", "HPCMTL_HUNG_SECONDS": "1", "HPCMTL_FT": "0"},
    ),
    "ledger": End("full:ledger,nth=6", "events.jsonl", code=75),
    "results": End("full:results", "No space left on device, on purpose", code=75),
}


def job(ranks):
    """Two trainings on two ranks each, and one that waits for both."""
    trained = {"input": "digits/images", "ranks": 2, "retries": 3}
    return family(
        ranks=ranks,
        tasks={
            "digit": family_task("digit", epochs=4, layers=4, **trained),
            "parity": family_task("parity", epochs=2, layers=2, **trained),
            "last": {"kind": "predict", "ranks": 2, "needs": {"digit": "parameters", "parity": "order"}},
        },
    )


def with_umask(umask):
    """The command with another umask."""
    return ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *PROGRAM]


@pytest.fixture(scope="module")
def sound(start_once):
    """A run in which nothing goes wrong."""
    return start_once(job(4), with_umask("077"), env=SECRETS).finish(150)


def assert_discreet(run, forbidden):
    """No secret of the environment is in any file, and no file has permissions that the umask forbids."""
    written = list(run.directory.rglob("*"))
    told = [
        path for path in written if path.is_file() for each in SECRETS.values() if each.encode() in path.read_bytes()
    ]
    open_to_others = [path for path in [run.directory, *written] if stat.S_IMODE(path.stat().st_mode) & forbidden]

    assert len(written) > 15
    assert told == []
    assert open_to_others == []


def test_what_a_job_survives(start, sound):
    """Errors on all ranks and a slow rank cost tries: the weights are those of a sound run, bit by bit."""
    run = start(job(4), with_umask("002"), env={**SECRETS, **WATCHED, "HPCMTL_FAULT": ";".join(SURVIVED)}).finish(150)
    retried = [event for event in run.events if event["event"] == "task_retried"]
    digit = [event for event in retried if event["task"] == "digit"]
    layers = [event["layer"] for event in run.events if event["event"] == "layer_ended" and event["task"] == "digit"]

    assert sound.returncode == 0, sound.said
    assert run.returncode == 0, run.said
    assert [(event["retry"], event["wait"]) for event in digit] == [(1, 1.0)]
    assert digit[0]["layer"] == 1
    assert all("on purpose" in event["message"] for event in retried)
    assert "try 1 of 3 follows" in run.stderr
    assert layers == [0, 1, 2, 3]
    assert [event for event in run.events if event["event"] == "rank_hung"] == []
    assert "status.json could not be written: No space left" in run.log(0)
    assert len(list((run.directory / "faults").iterdir())) == len(SURVIVED)  # two for rank=all, none for slow
    for task in ("digit", "parity", "last"):
        expected, found = sound.arrays(task), run.arrays(task)
        assert expected.keys() == found.keys()
        assert all(np.array_equal(expected[name], found[name]) for name in expected), task
    assert_discreet(sound, stat.S_IRWXG | stat.S_IRWXO)
    assert_discreet(run, stat.S_IWOTH)
    assert stat.S_IMODE((run.directory / "events.jsonl").stat().st_mode) == 0o664
    assert [path for path in run.directory.rglob(".*") if "partial" in path.name] == []


@pytest.mark.parametrize("fault", ["full:checkpoint,task=digit,nth=2", "full:artifact,task=parity"])
def test_a_full_disk(start, sound, fault):
    """No task fails by it: the run stops with 75 and the file, and ends at resume as a sound one, without tries."""
    run = start(job(4), env={"HPCMTL_FAULT": fault}).finish(150)
    stopped = run.results["status"]
    again = start.again(run.folder, PROGRAM, ["resume", str(run.directory)]).finish(150)
    happened = {event["event"] for event in again.events}

    assert run.returncode == 75, run.said
    assert "No space left on device, on purpose: free space there, or ask for more quota" in run.stderr
    assert stopped == "stopped"
    assert "Traceback" not in run.stderr
    assert again.returncode == 0, again.said
    assert not happened & {"task_retried", "task_failed"}
    for task in ("digit", "parity", "last"):
        expected, found = sound.arrays(task), again.arrays(task)
        assert all(np.array_equal(expected[name], found[name]) for name in expected), task


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_a_run(start, name):
    """A dead or hung rank, or a ledger or results that cannot be written, end the run soon, truly and readably."""
    case = ENDS[name]
    run = start(job(2), env={**case.env, "HPCMTL_FAULT": case.fault}).finish()
    ended = time.time()
    (marker,) = (run.directory / "faults").iterdir()
    happened = [event["event"] for event in run.events]
    host = json.loads((run.directory / "environment.json").read_text(encoding="utf-8"))["host"]

    assert run.returncode == case.code if case.code else run.returncode not in {0, 75}, run.said
    assert "Traceback" not in run.stderr or case.code is None
    assert ended - marker.stat().st_mtime < TEN_SECONDS, run.said
    assert case.said.format(host=host) in run.stderr
    assert set(case.events) <= set(happened)
    assert "job_ended" not in happened
    assert not (run.directory / "results.json").exists()
    for path in (run.directory / "checkpoints" / "digit").glob("*.h5"):
        assert read_sealed(path)[1]["task"] == "digit"
    layers = {event["layer"] for event in run.events if event["event"] == "layer_ended" and event["task"] == "digit"}
    assert layers <= set(case.layers)
    assert run.leftovers() == []
