"""Commands that only look at a job or a run import nothing that it names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from interrupted import interrupted

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
LOOKING = [
    ("validate", "--static", "job.yaml"),
    ("plan", "job.yaml"),
    ("plan", "job.yaml", "--explain", "net"),
    ("submit", "job.yaml", "--time", "1h", "--dry-run"),
    ("status", "{run}"),
    ("status", "{run}", "--json"),
    ("logs", "{run}"),
    ("wait", "{run}", "--timeout", "0"),
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A folder with a job, a run of it, and modules that leave a trace if anything imports them."""
    folder = tmp_path_factory.mktemp("hostile")
    run = interrupted(folder)
    job = yaml.safe_load((run / "job.yaml").read_text())
    job["tasks"]["net"]["model"] = {"name": "evil:Network"}
    job["tasks"]["later"]["loss"] = "evil:Loss"
    job["tasks"]["call"] = {"kind": "python", "callable": "evil:call"}
    for file in (folder / "job.yaml", run / "job.yaml"):
        file.write_text(yaml.safe_dump(job))
    for name in ("evil", "queue", "yaml", "random", "mpi4py", "numpy"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'trace')!r}, 'a').write({name!r})\n")
    return folder, run


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_nothing_is_imported(hostile, words):
    """No module of the job's folder runs, whatever its name; neither one that the job names nor a shadow of another."""
    folder, run = hostile
    program = Path(sys.executable).with_name("hpcmtl")
    done = subprocess.run(
        [program, *(word.format(run=run) for word in words)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert not (folder / "trace").exists(), (folder / "trace").read_text()
    assert "Traceback" not in done.stderr, done.stderr
