"""`hpcmtl submit` and the script that it writes, with Slurm's commands played and the rest real."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from typing import NamedTuple

import pytest
import yaml
from fake_slurm import FakeSlurm
from jobs import python_job, write_job

from hpcmtl.cli.app import main

RECORD = "submission.json"


class Done(NamedTuple):
    """Returns the exit code of a command, and its output."""

    code: int
    out: str
    err: str


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Slurm's commands, played, on a machine without profiles."""
    made = FakeSlurm.accepting(tmp_path / "bin")
    monkeypatch.setenv("PATH", made.path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return made


@pytest.fixture
def submit(monkeypatch, capfd, family_file):
    """Run `hpcmtl submit` on the family in its directory, in this process."""

    def call(*words):
        monkeypatch.chdir(family_file.parent)
        monkeypatch.setattr(sys, "argv", ["hpcmtl", "submit", family_file.name, *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capfd.readouterr())

    return call


def files(folder):
    """Every file below a folder that a submission may have made."""
    return {str(path.relative_to(folder)) for path in (folder / "runs").rglob("*") if path.is_file()}


def test_a_dry_run_shows_everything_and_writes_nothing(submit, fake, tmp_path, monkeypatch):
    """The exact script is on stdout, plan, warning and Slurm's word beside it; without Slurm all but the last."""
    fake.runs("sbatch", "cat >/dev/null; echo 'sbatch: Job 7 to start at noon' >&2")
    done = submit("--dry-run", "--time", "1s", "--nodes", "2", "--ntasks-per-node", "2")
    told = json.loads(submit("--dry-run", "--json", "--time", "1h").out)
    (fake.folder / "sbatch").unlink()
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr("hpcmtl.launch.slurm.client.shutil.which", lambda _: None)
    bare = submit("--dry-run")

    assert done.code == 0
    assert done.out.startswith("#!/bin/bash\n#SBATCH --job-name=family\n#SBATCH --nodes=2\n#SBATCH --ntasks=4\n")
    assert "8 tasks on 4 ranks" in done.err
    assert "the plan takes" in done.err
    assert "the time limit of 00:00:01: it goes on in up to 5 further attempts" in done.err
    assert "sbatch --test-only: sbatch: Job 7 to start at noon" in done.err
    assert told["test_only"] == {"accepted": True, "message": "sbatch: Job 7 to start at noon"}
    assert told["plan"]["ranks"] == 4
    assert bare.code == 0
    assert "test-only" not in bare.err
    assert files(tmp_path) == set()


def test_a_run_is_submitted(submit, fake, tmp_path, monkeypatch):
    """The run directory has job, plan, script and record; nothing of the caller's environment is in them."""
    monkeypatch.setenv("SECRET_TOKEN", "hush-hush")
    monkeypatch.setenv("HPCMTL_SECRET", "hush-hush")
    before = os.umask(0o077)
    try:
        done = submit("--time", "1h", "--set", "tasks.digit.epochs=10", "--set", "seed=7", "--parsable")
    finally:
        os.umask(before)
    (run,) = (tmp_path / "runs").iterdir()
    record = json.loads((run / "submission.json").read_text())
    job = yaml.safe_load((run / "job.yaml").read_text())

    assert done == (0, "100\n", "")
    assert files(tmp_path) == {f"runs/{run.name}/{name}" for name in ("job.yaml", "plan.json", "job.sbatch", RECORD)}
    assert (run / "logs").is_dir()
    assert fake.all_calls() == [f"sbatch --parsable {run}/job.sbatch"]
    assert f"\nrun={run}\n" in (run / "job.sbatch").read_text()
    assert (record["job"], record["time_limit"], record["requeues"]) == ("100", 3600, 5)
    assert (job["seed"], job["tasks"]["digit"]["epochs"]) == (7, 10)
    for path in run.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
        assert path.is_dir() or "hush-hush" not in path.read_text()


@pytest.mark.parametrize(
    ("answer", "words", "code", "said"),
    [
        ("echo 'invalid partition' >&2; exit 1", [], 3, "invalid partition"),
        ("exit 0", ["--set", "tasks.digit.epoch=5"], 2, "unknown key 'epoch'"),
        ("exit 0", ["--set", "seed=1,2"], 2, "2 combinations of values; add --array"),
        ("exit 0", ["--set", "seed"], 2, "write KEY=VALUE"),
        ("exit 0", ["--set", "seed.x=2"], 2, "`seed` has no keys of its own"),
        ("exit 0", ["--set", "ranks=2"], 2, "is the same for all points"),
        ("exit 0", ["--array", "--set", "ranks=1,2"], 2, "is the same for all points"),
        ("exit 0", ["--benchmark", "1,x"], 2, "no list of numbers of ranks"),
        ("exit 0", ["--nodes", "8"], 2, "4 ranks do not fit 8 nodes"),
        ("exit 1", ["--test-only"], 3, "sbatch --test-only"),
    ],
)
def test_what_is_refused_leaves_nothing(submit, fake, tmp_path, answer, words, code, said):
    """A refusal by Slurm, by the job or by the arguments has its reason, and no directory is left."""
    fake.runs("sbatch", answer)
    done = submit(*words)

    assert done.code == code
    assert said in " ".join(done.err.split())
    assert files(tmp_path) == set()
    assert not list((tmp_path / "runs").glob("*"))


def test_the_plan_of_a_benchmark_is_that_of_its_most_ranks(submit, fake):
    """The allocation is made for the largest width, so its plan is shown, and said to be that."""
    fake.runs("sbatch", "cat >/dev/null")
    done = submit("--benchmark", "1,3", "--dry-run")
    found = json.loads(submit("--benchmark", "1,3", "--dry-run", "--json").out)

    assert "runs on 1, 3 ranks, one after another; the plan is that of 3 ranks" in " ".join(done.err.split())
    assert found["plan"]["ranks"] == 3


def test_a_sweep_is_cut_into_arrays(submit, fake, tmp_path):
    """Each combination has a run directory; the cluster's limit makes several arrays of one script."""
    fake.runs("scontrol", "echo 'MaxArraySize = 2'")
    done = submit("--array", "--set", "tasks.digit.epochs=1,2,3", "--throttle", "1")
    (sweep,) = (tmp_path / "runs").iterdir()
    points = json.loads((sweep / RECORD).read_text())["points"]
    script = sweep / "array.sbatch"

    assert done.code == 0, done.err
    assert f"job 100, 101: {sweep}" in done.out
    assert [call for call in fake.all_calls() if call.startswith("sbatch")] == [
        f"sbatch --parsable --array=0-1%1 {script} 0",
        f"sbatch --parsable --array=0-0%1 --dependency=afterany:100 {script} 2",
    ]
    for number, name in enumerate(("000", "001", "002")):
        job = yaml.safe_load((sweep / name / "job.yaml").read_text())
        own = json.loads((sweep / name / RECORD).read_text())
        assert job["tasks"]["digit"]["epochs"] == points[name]["tasks.digit.epochs"] == number + 1
        assert own["job"] == ("100_0", "100_1", "101_0")[number]
        assert own["arguments"] == ["0" if number < 2 else "2"]


def test_a_base_installation_says_that_its_python_cannot_train(submit, monkeypatch, tmp_path):
    """The Python that submits would start the ranks: without MXNet that is said, and not where another one is named."""
    monkeypatch.setattr("hpcmtl.frameworks.description._is_installed", lambda name: name != "mxnet")
    site = tmp_path / "site.yaml"
    site.write_text("python: /opt/hpcmtl/bin/python\n")
    told, other = submit("--dry-run"), submit("--dry-run", "--site", str(site))

    assert f"the ranks start with {sys.executable}, which submits and has no mxnet" in told.err
    assert "has no mxnet" not in other.err


def test_a_job_without_networks_needs_an_installation_for_ranks_as_well(submit, monkeypatch, family_file):
    """Python tasks need no framework, but their ranks need MPI, which a base installation lacks as well."""
    monkeypatch.setattr("hpcmtl.pipeline.batch.draft.installed_version", {"psutil": "6"}.get)
    write_job(family_file.parent, python_job("does_nothing"))
    told = submit("--dry-run")

    assert f"the ranks start with {sys.executable}, which submits and has no mpi4py: name the" in told.err


def test_where_each_setting_comes_from(submit, fake):
    """The table and its JSON name value and origin, without a look at the job."""
    table = submit("--show-config", "--time", "45m", "--no-requeue")
    told = json.loads(submit("--show-config", "--json", "--partition", "main").out)

    assert table.code == 0
    assert any(line.split() == ["time", "00:45:00", "command", "line", "(--time)"] for line in table.out.splitlines())
    assert told["partition"] == {"value": "main", "from": "command line (--partition)"}
    assert told["launcher"] == {"value": "mpirun", "from": "default"}


MPIRUN = r"""
[ "$1" != --version ] || exit 0
folder=$(dirname "$0") run=$(cat "$(dirname "$0")/run")
stop() {
    echo "$1" >>"$folder/got"
    printf '{"status": "stopped", "attempt_id": "%s"}' "$HPCMTL_ATTEMPT_ID" >"$run/results.json"
    exit 75
}
trap 'stop usr1' USR1
trap 'stop usr2' USR2
trap 'kill $(jobs -p) 2>/dev/null' EXIT
[ -z "${LOST:-}" ] || exit 0
sleep 60 &
touch "$folder/started"
wait
"""


@pytest.fixture
def batch(submit, fake, tmp_path):
    """A submitted run whose ranks are played, and a function that starts its script as Slurm would."""
    fake.runs("mpirun", MPIRUN)
    python = fake.runs("python", "exit 9")  # mpirun is taken from beside it
    site = tmp_path / "site.yaml"
    site.write_text(f"python: {python}\nsetup: cd /\n")
    assert submit("--time", "1h", "--site", str(site)).code == 0
    (run,) = (tmp_path / "runs").iterdir()
    (fake.folder / "run").write_text(str(run))

    def start(**environ):
        return subprocess.Popen(
            ["bash", str(run / "job.sbatch")],
            env={**os.environ, "SLURM_JOB_ID": "16", "PYTHONPATH": os.pathsep.join(sys.path), **environ},
            stderr=subprocess.PIPE,
            text=True,
        )

    return run, start


def until(path):
    """Wait for a file."""
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.02)


@pytest.mark.parametrize("count", [1, 2])
def test_the_script_passes_the_signal_on(batch, fake, count):
    """USR1 to the shell reaches mpirun, once for each time, and the stopped run is requeued by its own line."""
    run, start = batch
    process = start(SLURM_RESTART_COUNT=str(count))
    until(fake.folder / "started")
    process.send_signal(signal.SIGUSR1)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 75
    assert (fake.folder / "got").read_text() == "usr1\n"
    assert "stopped with checkpoints; requeued by hpcmtl (1 of 5): resumes at the start" in err
    assert fake.all_calls()[-1] == "scontrol requeue 16"
    seen = fake.environment("mpirun")
    assert (seen["HPCMTL_ATTEMPT_ID"], seen["SLURM_EXPORT_ENV"]) == (f"16.{count}", "ALL")
    call = next(call for call in fake.all_calls() if call.startswith("mpirun -np"))
    assert "--bind-to none" in call
    assert call.endswith(f"{shlex.quote(str(fake.folder / 'python'))} -m mpi4py -m hpcmtl resume {run} --ranks 4")


def test_a_line_of_the_set_up_that_fails(submit, fake, tmp_path):
    """The script ends with 3, names line and code, and starts nothing; inside a file that is read it may fail."""
    (tmp_path / "env.sh").write_text("test -f /nowhere\nexport FOUND=1\n")
    (tmp_path / "site.yaml").write_text(
        yaml.safe_dump(
            {
                "setup": [
                    'module() { test "$2" != broken; }',
                    f". {tmp_path}/env.sh",
                    "false || true",
                    "module load broken #x",
                ]
            }
        )
    )
    assert submit("--time", "1h", "--site", str(tmp_path / "site.yaml")).code == 0
    (run,) = (tmp_path / "runs").iterdir()
    done = subprocess.run(
        ["bash", str(run / "job.sbatch")],
        env={**os.environ, "SLURM_JOB_ID": "16"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 3
    assert "hpcmtl: set-up: `module load broken #x` (line " in done.stderr
    assert "of the batch script) ended with 1; if that is harmless, write `|| true` behind it" in done.stderr
    assert [call for call in fake.all_calls() if call.startswith("mpirun")] == []


def test_scratch_on_all_nodes(submit, fake, tmp_path):
    """A folder of the attempt is made on each node, is TMPDIR of the ranks, and is removed before the script ends."""
    python = fake.runs("python", "exit 9")
    fake.runs("mpirun", '[ "$1" = --version ] || { touch "$TMPDIR/left"; echo "$TMPDIR" >>"${0%/*}/tmpdir"; }')
    fake.runs("srun", 'while [[ $1 == --* ]]; do shift; done; "$@"')
    scratch = tmp_path / "scratch"
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({"python": str(python), "scratch": f"{scratch}/$SLURM_JOB_ID"}))
    assert submit("--time", "1h", "--site", str(tmp_path / "site.yaml")).code == 0
    (run,) = (tmp_path / "runs").iterdir()
    environ = {**os.environ, "SLURM_JOB_ID": "16", "SLURM_JOB_NUM_NODES": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(["bash", str(run / "job.sbatch")], env=environ, capture_output=True, check=False, timeout=60)

    assert (fake.folder / "tmpdir").read_text() == f"{scratch}/16/hpcmtl.16.0\n"
    assert list((scratch / "16").iterdir()) == []
    assert [
        re.sub("bash -c .* mine", "mine", call.rpartition("--ntasks-per-node=1 ")[2]) for call in fake.calls("srun")
    ] == [
        f"mine {scratch}/16 {scratch}/16/hpcmtl.16.0",
        f"rm -rf {scratch}/16/hpcmtl.16.0",
    ]


def test_the_number_of_files_is_said(submit, fake):
    """Users with a quota of inodes see it before the submission and with it; a sweep has those of all its runs."""
    one, many = submit("--dry-run"), submit("--dry-run", "--array", "--set", "tasks.digit.epochs=1,2")

    assert "hpcmtl: the run makes up to " in one.err
    assert " files and folders in runs" in one.err
    assert "hpcmtl: the 2 runs make up to " in many.err


def test_an_exit_0_without_a_record_is_no_success(batch, fake):
    """The script does not believe mpirun's 0; the attempt is lost, and the next one follows."""
    _, start = batch
    process = start(LOST="1")
    _, err = process.communicate(timeout=60)

    assert process.returncode == 75
    assert "lost: it left no completion record (exit code 0); requeued by hpcmtl (1 of 5)" in err


def test_what_slurm_ends_is_left_to_slurm(batch, fake):
    """Of TERM the ranks hear as USR2, the script stays with them until they have ended, and nothing is requeued."""
    _, start = batch
    process = start()
    until(fake.folder / "started")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 75
    assert (fake.folder / "got").read_text() == "usr2\n"
    assert "Slurm has ended the job" in err
    assert not any("requeue" in call for call in fake.all_calls() if call.startswith("scontrol"))
