"""An exit inside a user's code is an error of its task, and everywhere else an exit."""

import os
import subprocess
import sys
import threading

import pytest

from hpcmtl.dispatch.rank.exits import exits_raise


def test_an_exit_raises_inside_the_block_alone():
    """In the block the thread gets an error with the code; another thread and the code after it are not guarded."""
    others = []
    with exits_raise():
        with pytest.raises(SystemExit, match=r"os\._exit\(3\)"):
            os._exit(3)
        thread = threading.Thread(target=lambda: others.append(getattr(os._exit, "__name__", "")))
        thread.start()
        thread.join()
    code = "import os; from hpcmtl.dispatch.rank.exits import exits_raise\nwith exits_raise(): pass\nos._exit(5)"

    assert others == ["_exit"]
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 5


def test_a_forked_child_leaves():
    """A child process that a task forks ends with its own code."""
    with exits_raise():
        child = os.fork()
        if child == 0:
            os._exit(7)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 7
