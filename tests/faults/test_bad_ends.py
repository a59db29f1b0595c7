"""Whatever a `python` task does to its process, its family ends well, soon, and with a completion record."""

import pytest

from hpcmtl.dispatch.coordinator.lifecycle import MOST_LOSSES

pytestmark = pytest.mark.slow

CODE = """
import ctypes, os, subprocess, sys, threading, time

def leaves(context): sys.exit(0)

def ends(context): os._exit(3)

def keeps_a_thread(context):
    threading.Thread(target=lambda: time.sleep(600)).start()
    return {"x": 1.0}

def keeps_children(context):
    subprocess.Popen(["sleep", "601"])
    subprocess.Popen(["setsid", "--fork", "sleep", "602"])
    return {"x": 1.0}

def crashes(context):
    ctypes.string_at(0)

def counts(context): return {"x": 2.0}
"""
ENDS = {
    "leaves": "SystemExit: 0",
    "ends": "SystemExit: os._exit(3)",
    "crashes": f"lost ranks {MOST_LOSSES} times",
    "counts": "",
}


def family(folder, *names):
    """Writes the module, and returns a job of some of its functions with the environment that finds it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bad_ends.py").write_text(CODE, encoding="utf-8")
    tasks = {name: {"kind": "python", "callable": f"bad_ends:{name}", "ranks": 1} for name in names}
    return {"hpcmtl": 1, "job": "ends", "ranks": 4, "tasks": tasks}, {"PYTHONPATH": str(folder)}


def test_tasks_that_end_their_process(start, tmp_path):
    """They fail, one that crashes it after two ranks; the others are complete, and the record is there."""
    job, env = family(tmp_path / "code", *ENDS)
    run = start(job, env=env).finish(60)
    ended = run.results["tasks"]

    assert run.returncode == 1, run.said
    assert {name: task["status"] for name, task in ended.items()} == {
        name: "failed" if text else "complete" for name, text in ENDS.items()
    }
    assert all(text in ended[name]["message"] for name, text in ENDS.items())
    assert run.leftovers() == []


@pytest.mark.slow
def test_tasks_that_leave_something_behind(start, tmp_path):
    """Threads and processes of tasks do not keep the ranks; processes, detached ones as well, are named and ended."""
    job, env = family(tmp_path / "code", "keeps_a_thread", "keeps_children", "counts")
    run = start(job, env=env).finish(60)

    assert run.returncode == 0, run.said
    assert "a task has left processes behind, which are ended now" in run.stderr, run.said
    assert run.stderr.count("sleep (") == 2, run.said
    assert run.leftovers() == []
