"""Batch scripts, word by word; delete a golden file to accept a change."""

import subprocess
import sys
from pathlib import Path

import pytest

from hpcmtl.errors import InputError
from hpcmtl.launch.command import launcher
from hpcmtl.launch.slurm.sbatch import ArrayChunk, BatchScript, ResourceRequest, array_chunks, render, resource_request
from hpcmtl.launch.slurm.settings import gather

GOLDEN = Path(__file__).parent / "golden"
FULL = {
    "time": "1h",
    "partition": "main",
    "account": "mine",
    "cpus_per_task": 4,
    "modules": ["gcc/12", "openmpi"],
    "setup": ["ulimit -c 0"],
    "container": "apptainer exec 'my image.sif'",
    "scratch": "/scratch",
    "launcher": "srun",
    "extra": ["--constraint=icelake", "-w n[1-2]"],
    "throttle": 2,
}


def settings(tmp_path, section=None, **options):
    """Settings of a job file's section and options, with no site."""
    return gather(options, section, "job.yaml", {"XDG_CONFIG_HOME": str(tmp_path)})


def script(tmp_path, section=None, template="run", directory="/runs/job-1", **options):
    """A script for two nodes."""
    points = [("000", 1), ("001", 2)]
    batch = BatchScript(template, "job", ResourceRequest(8, 2, 4), Path(directory), points)
    return render(batch, settings(tmp_path, section, **options), ["Of a test."])


def directives(text):
    """Directive -> value."""
    lines = [line.removeprefix("#SBATCH --") for line in text.splitlines() if line.startswith("#SBATCH")]
    return dict(line.partition("=")[::2] for line in lines)


@pytest.mark.parametrize(("starter", "unset"), [("mpirun", True), ("srun", False)])
def test_gpus_of_the_daemons_of_mpirun(tmp_path, starter, unset):
    """Slurm's variables for the GPUs of a task are removed for mpirun alone, whose daemons are the tasks of a node."""
    text = script(tmp_path, {"gpus_per_task": 2, "launcher": starter})

    assert directives(text)["gpus-per-task"] == "2"
    assert ("unset SLURM_GPUS_PER_TASK SLURM_TRES_PER_TASK" in text) == unset


STAGED = {"scratch": "/scratch", "stage": "scratch"}
CASES = [
    ("run", None),
    ("run", FULL),
    ("array", FULL),
    ("benchmark", None),
    ("run", STAGED),
    ("run", {"gpus_per_task": 1}),
]


@pytest.mark.parametrize(
    ("template", "section"), CASES, ids=["run", "run-full", "array-full", "benchmark", "run-staged", "run-gpus"]
)
def test_scripts_are_as_on_record(tmp_path, template, section, request):
    """Each script is exactly the one on record, of 40 to 90 lines, and clean by shellcheck."""
    text = script(tmp_path, section, template)
    told = text.replace(str(launcher("srun").parent), "LAUNCHERS").replace(sys.executable, "PYTHON")
    record = GOLDEN / f"{request.node.callspec.id}.sbatch"
    if not record.exists():
        record.write_text(told)
        pytest.fail(f"no record: wrote {record}; look at it, and commit it")
    checked = subprocess.run(
        ["shellcheck", "--shell=bash", "-"], input=text, capture_output=True, text=True, check=False, timeout=60
    )

    assert record.read_text() == told
    assert checked.stdout == ""
    assert 40 <= len(text.splitlines()) <= 90


def test_what_the_facts_demand(tmp_path):
    """The shell alone gets USR1 in time, the job may come back, and no attempt wipes out an earlier one's output."""
    found = directives(script(tmp_path, time="2m"))

    assert found["signal"] == "B:USR1@60"
    assert "requeue" in found
    assert found["open-mode"] == "append"
    assert found["output"] == "/runs/job-1/logs/slurm-%j.out"
    assert "no-requeue" in directives(script(tmp_path, requeues=0))
    assert "no-requeue" in directives(script(tmp_path, {"restart": "successor"}))


def test_names_of_directories_are_quoted(tmp_path):
    """Blanks, quotes and per cent signs of a path come through Slurm and the shell as they are."""
    text = script(tmp_path, directory="/a b/50%/it's")

    assert directives(text)["output"] == '"/a b/50%%/it\'s/logs/slurm-%j.out"'
    assert "run='/a b/50%/it'\"'\"'s'" in text


def test_every_directive_can_be_changed_and_left_out(tmp_path):
    """A level adds and leaves out what it and lower levels say; a higher level has the last word."""
    site = tmp_path / "site.yaml"
    site.write_text("omit: [time, signal]\nextra: [--mem=1G, --ntasks-per-node=2]\n")
    found = directives(
        script(tmp_path, {"omit": "mem", "site": str(site)}, time="1h", extra=["-J other", "--no-requeue"])
    )

    assert found["time"] == "01:00:00"  # the command line comes after the site
    assert found["job-name"] == "other"
    assert found["ntasks-per-node"] == "2"
    assert {"signal", "mem", "requeue"} & set(found) == set()
    assert "no-requeue" in found


@pytest.mark.parametrize("line", ["mem=4G", "rm -r x", "--", "---mem", "--mem=4G;\n"])
def test_what_is_no_directive_is_refused(tmp_path, line):
    """Only what begins as an option of sbatch gets into the script."""
    with pytest.raises(InputError, match=r"--extra.*|found a line break"):
        script(tmp_path, extra=[line])


def test_time_to_stop_must_fit_the_limit(tmp_path):
    """A signal that would come before the job begins is refused."""
    with pytest.raises(InputError, match="600 s are not before the end"):
        script(tmp_path, {"stop_seconds": 600, "time": "10m"})


@pytest.mark.parametrize(
    ("section", "options", "ranks", "ask"),
    [
        ({}, {}, 4, ResourceRequest(4, None, None)),
        ({}, {}, None, ResourceRequest(1, None, None)),
        ({"ntasks_per_node": 2}, {}, 7, ResourceRequest(7, 4, 2)),
        ({"nodes": 2}, {}, None, ResourceRequest(2, 2, None)),
        ({"nodes": 2, "ntasks_per_node": 4}, {}, None, ResourceRequest(8, 2, 4)),
        ({"nodes": 2, "ntasks_per_node": 4}, {}, 6, ResourceRequest(6, 2, 4)),
        ({"nodes": 2, "ntasks_per_node": 4}, {"nodes": 3}, 6, ResourceRequest(12, 3, 4)),
        ({}, {"nodes": 2}, 6, ResourceRequest(6, 2, None)),
    ],
)
def test_ranks_and_nodes(tmp_path, section, options, ranks, ask):
    """The job's ranks count unless the options ask for nodes and ranks of a node."""
    assert resource_request(settings(tmp_path, section, **options), ranks) == ask


def test_ranks_follow_from_the_cores_of_the_site(tmp_path):
    """Where the site says how many cores a node has, a rank or its cores fill them."""
    site = tmp_path / "site.yaml"
    site.write_text("cores_per_node: 48\nmax_nodes: 4\nmax_time: 1h\n")
    found = settings(tmp_path, {"site": str(site), "cpus_per_task": 4})

    assert resource_request(found, 30) == ResourceRequest(30, 3, 12)
    with pytest.raises(InputError, match=r"nodes: 5 is more than the 4 of site profile .*site\.yaml \(max_nodes\)"):
        resource_request(found, 60)
    with pytest.raises(InputError, match=r"time: 02:00:00 is more than the 01:00:00 of"):
        resource_request(settings(tmp_path, {"site": str(site)}, time="2h"), 1)


def test_contradictions_are_refused_with_the_arithmetic(tmp_path):
    """More ranks than nodes have room for, and nodes without ranks, are refused."""
    with pytest.raises(InputError, match="9 ranks do not fit 2 nodes x 4 = 8"):
        resource_request(settings(tmp_path, {"nodes": 2, "ntasks_per_node": 4}), 9)
    with pytest.raises(InputError, match="2 ranks do not fit 4 nodes"):
        resource_request(settings(tmp_path, {}, nodes=4), 2)


@pytest.mark.parametrize(
    ("section", "said"),
    [({"stage": "scratch"}, "give `scratch` as well"), (FULL | {"stage": "scratch"}, "a container has its own")],
)
def test_an_environment_that_cannot_be_copied_is_refused(tmp_path, section, said):
    """A copy needs a folder on each node, and a container has an environment of its own."""
    with pytest.raises(InputError, match=said):
        resource_request(settings(tmp_path, section), 2)


def test_sweeps_are_cut_into_arrays():
    """No array is larger than the limit, all points are in one, and each knows where it begins."""
    found = array_chunks(2500, 1000, 8)

    assert found == [
        ArrayChunk(0, 1000, "0-999%8"),
        ArrayChunk(1000, 1000, "0-999%8"),
        ArrayChunk(2000, 500, "0-499%8"),
    ]
    assert [piece.arguments for piece in found] == [("0",), ("1000",), ("2000",)]
    assert array_chunks(3, None, None) == [ArrayChunk(0, 3, "0-2")]
