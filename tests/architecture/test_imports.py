"""Modules that need neither MPI nor MXNet do not import them: a login node lacks them, or must not start them."""

import subprocess
import sys

import pytest

BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"mpi4py", "mxnet", "horovod"}:
            raise AssertionError(f"import of {name}")

sys.meta_path.insert(0, Blocker())
"""


ROOMS_OF_RANKS = {f"hpcmtl.{room}" for room in ("training.session", "training.sessions", "exchange")}
ROOMS_OF_RANKS.add("hpcmtl.training.gluon.framework")


def run_blocked(code):
    """Run Python code where mpi4py, mxnet and horovod cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_blocker_blocks():
    """The finder that the other tests rely on does stop these imports."""
    with pytest.raises(AssertionError, match="import of mpi4py"):
        run_blocked("import mpi4py")


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["run", "--help"],
        ["validate", "--static"],
        ["plan"],
        ["plan", "--json"],
        ["schema"],
        ["submit", "--dry-run"],
    ],
)
def test_verbs_of_a_login_node(family_file, words):
    """Help, static validation, plan, schema and submit work without mpi4py, mxnet and horovod."""
    argv = ["hpcmtl", *words]
    if words[0] in {"validate", "plan", "submit"}:
        argv.append(str(family_file))
    out = run_blocked(f"sys.argv = {argv!r}\nfrom hpcmtl.cli.app import main\nmain()")

    assert out.strip()


@pytest.mark.parametrize("words", [["status"], ["wait", "--timeout", "0"], ["logs"]])
def test_watching_a_run_needs_no_ranks(tmp_path, words):
    """They read a run directory without mpi4py, mxnet, horovod, and without what only ranks have."""
    run = tmp_path / "small-20260101-000000"
    run.mkdir()
    (run / "plan.json").write_text('{"ranks": 1, "makespan": 1.0, "tasks": []}')
    out = run_blocked(
        f"sys.modules['psutil'] = None\nsys.argv = {['hpcmtl', *words, str(run)]!r}\n"
        "from hpcmtl.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert left.code in (0, 124), left.code\n"
    )

    assert "preparing" in out or words == ["logs"]


def test_the_package_itself_is_light():
    """`import hpcmtl` and making a job in code load none of numpy, h5py or the planner."""
    out = run_blocked(
        "import hpcmtl\n"
        "assert not {'numpy', 'h5py'} & set(sys.modules), 'import hpcmtl'\n"
        "hpcmtl.Job(job='a', tasks={'t': hpcmtl.Task('python', callable='m:f')})\n"
        "print(sorted({'numpy', 'h5py', 'hpcmtl.layerplan'} & set(sys.modules)))\n"
    )

    assert out == "[]\n"


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], {"h5py", "numpy", "pydantic", "yaml", "hpcmtl.pipeline", "hpcmtl.results"}),
        (["status"], {"h5py", "numpy", "yaml", "rich.progress", "hpcmtl.dispatch", "hpcmtl.layerplan"}),
        (["logs"], {"h5py", "numpy", "yaml", "rich", "hpcmtl.dispatch", "hpcmtl.layerplan"}),
        (["validate", "--static"], {"rich", "hpcmtl.dispatch", *ROOMS_OF_RANKS}),
    ],
)
def test_a_command_loads_what_it_needs(tmp_path, family_file, words, heavy):
    """The quick verbs are quick because they leave alone what only others need."""
    run = tmp_path / "small-20260101-000000"
    run.mkdir()
    (run / "plan.json").write_text('{"ranks": 1, "makespan": 1.0, "tasks": []}')
    of_verb = {"--help": [], "validate": [str(family_file)]}
    argv = ["hpcmtl", *words, *of_verb.get(words[0], [str(run)])]
    out = run_blocked(
        f"sys.argv = {argv!r}\nfrom hpcmtl.cli.app import main\ntry:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', sorted({heavy!r} & sys.modules.keys()))\n"
    )

    assert out.splitlines()[-1] == "loaded: []"


def test_the_planner_rooms_are_pure():
    """Job file, task graph and layer plan know neither MPI nor MXNet nor h5py."""
    rooms = ["jobfile.load", "jobfile.shapes", "taskgraph.graph", "layerplan.solve.policies", "layerplan.report.render"]
    imports = "\n".join(f"import hpcmtl.{room}" for room in rooms)

    assert run_blocked(f"{imports}\nprint('h5py' in sys.modules)") == "False\n"


def test_the_interface_to_runs_is_light(tmp_path):
    """A run is opened and shown without MPI, a framework, HDF5 and what draws tables."""
    run = tmp_path / "small-20260101-000000"
    run.mkdir()
    (run / "plan.json").write_text('{"ranks": 1, "makespan": 1.0, "tasks": []}')
    out = run_blocked(
        "import hpcmtl\n"
        f"run = hpcmtl.client.open({str(run)!r})\n"
        "print(run.status, 'table' in run._repr_html_())\n"
        "print(sorted({'h5py', 'torch', 'rich', 'typer'} & sys.modules.keys()))\n"
    )

    assert out.splitlines() == ["preparing True", "[]"]
