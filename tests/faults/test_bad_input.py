"""Malformed job files, run directories, sealed files and environments: a clear refusal each, and nothing changed."""

import contextlib
import io
import sys
import traceback

import numpy as np
import pytest
import yaml
from events import event
from jobs import family
from malformed import mangled_bytes, mangled_json, mangled_lines, mangled_text

from hpcmtl.cli.app import main
from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.exchange.store import DamagedFileError, read_sealed, seal
from hpcmtl.launch.environment import rank_environment, require_world
from hpcmtl.pipeline.prepare import plan, prepare
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.outcome.summary import JobResult, TaskResult, to_dict
from hpcmtl.results.rundir.directory import create, write_json_atomically
from hpcmtl.results.step_progress import StepProgress

REFUSED = {2, 3}


def call(*words):
    """Exit code and stderr of the command in this process; a traceback instead where it fell over."""
    said = io.StringIO()
    with (
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
        pytest.MonkeyPatch.context() as here,
    ):
        here.setattr(sys, "argv", ["hpcmtl", *map(str, words)])
        try:
            main()
        except SystemExit as left:
            return int(left.code or 0), said.getvalue()
        except BaseException:  # noqa: BLE001 - whatever it is, it is what this test looks for
            return -1, traceback.format_exc()
    return 0, said.getvalue()


def state(folder):
    """All files below a folder, with what is in them."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def trials(file, mangle, numbers, *verbs):
    """Call verbs on a file that is mangled again and again; return what was wrong with answers, and count refusals."""
    sound = file.read_bytes()
    wrong, refused = [], 0
    for number in numbers:
        file.write_bytes(mangle(sound, number))
        before = state(file.parent)
        for verb in verbs:
            code, said = call(*verb)
            refused += code in REFUSED
            named = file.name in said or str(file.parent) in said
            clear = code == 0 or (code in REFUSED and named and "Traceback" not in said)
            if not clear or state(file.parent) != before:
                wrong.append(f"{' '.join(map(str, verb))} #{number} of {file.name}: {code} {said[-1500:]}")
    file.write_bytes(sound)
    return wrong, refused


@pytest.mark.slow
def test_job_files(family_file):
    """Job files with values of other types, names and sizes, or cut and damaged, are refused by file and key."""
    values = family()
    values["data"] = {"digits": str(family_file.parent / "digits.h5")}

    def mangle(_, number):
        return mangled_text(lambda each: yaml.safe_dump(each, sort_keys=False, allow_unicode=True), values, number)

    wrong, refused = trials(family_file, mangle, range(90), ["validate", "--static", family_file])

    assert wrong == []
    assert refused >= 60


def test_data_files(family_file, digits_file):
    """Data files that were cut or damaged are refused by their name, or the damage touches nothing that is read."""
    data = family_file.parent / "digits.h5"
    data.unlink()
    data.write_bytes(digits_file.read_bytes())
    wrong, refused = trials(data, mangled_bytes, range(16), ["validate", "--static", family_file])

    assert wrong == []
    assert refused >= 8


@pytest.fixture
def run(family_file):
    """A run directory as a run leaves it, with the job file beside."""
    prepared = prepare(family_file)
    planned = plan(prepared)
    directory = create(family_file.parent / "runs", "family")
    directory.job_file.write_text(yaml.safe_dump(prepared.resolved(), sort_keys=False))
    write_json_atomically(directory.plan_file, planned.to_dict())
    with Ledger(directory.ledger_file) as ledger:
        ledger.append(event("job_started", job="family", ranks=4, policy="variable"))
        for number in (0, 1):
            place = {"task": "trunk", "layer": number, "ranks": 2}
            ledger.append(event("layer_started", **place, first_rank=0, layers=2))
            ledger.append(
                event("layer_ended", **place, steps=20, rows=32.0, step_seconds=0.01, seconds=0.3, metrics={})
            )
        ledger.append(event("rank_suspected", rank=1, seconds=31.0, task="trunk", layer=1, step=3))
        ledger.append(event("task_ended", task="trunk", status="complete", message=""))
        ledger.append(event("layer_started", task="digit", layer=0, ranks=2, first_rank=0, layers=2))
    progress = vars(StepProgress("digit", 0, 0, 0.5, 100.0, 0.2, 3, 9.0))
    tasks = {"digit": {"progress": {key: value for key, value in progress.items() if key != "task"}}}
    node = {
        "host": "a",
        "ranks": [0, 1],
        "count": 2,
        "age": 1.0,
        "load": 1.0,
        "memory_available": 10,
        "rss": 1,
        "cpu": 1.0,
    }
    heartbeats = [{"rank": rank, "host": "a", "age": 1.0, "suspect": False} for rank in (0, 1)]
    live = {"written": 1e9, "seconds_between_heartbeats": 5.0, "tasks": tasks, "nodes": [node]}
    live["rank_heartbeats"] = heartbeats
    write_json_atomically(directory.status_file, live)
    return directory


@pytest.mark.slow
def test_run_directories(run, family_file):
    """Plans, ledgers and states of runs that were damaged are refused by file, or what is left of them is shown."""
    views = [["status", run.path], ["status", run.path, "--json"]]
    plans = [["plan", family_file, "--measured", run.path]]
    by_ledger, refused_ledgers = trials(run.ledger_file, mangled_lines, range(25), *views)
    by_plan, refused_plans = trials(run.plan_file, mangled_json, range(25), *views)
    by_both = [*trials(run.ledger_file, mangled_lines, range(40, 52), *plans)[0]]
    by_both += trials(run.plan_file, mangled_json, range(40, 52), *plans)[0]
    by_state, _ = trials(run.status_file, mangled_json, range(20), *views)

    assert by_ledger == []
    assert by_plan == []
    assert by_both == []
    assert by_state == []
    assert refused_ledgers >= 20
    assert refused_plans >= 20


@pytest.mark.slow
def test_requests_of_damaged_runs(run, family_file):
    """A request to a run whose job or results were damaged is refused, and no request is left behind."""
    asks = [["set", run.path, "nowhere", "priority=1"], ["pause", run.path, "trunk"]]
    by_job, refused = trials(run.job_file, mangled_bytes, range(12), *asks)
    result = JobResult("family", "failed", "2026-01-01", 9.0, 4, (TaskResult("trunk", "train", "failed", 2, (4, 2)),))
    write_json_atomically(run.results_file, to_dict(result))
    by_results, over = trials(run.results_file, mangled_json, range(12), *asks)
    with Ledger(run.ledger_file) as ledger:
        ledger.append(event("job_ended", status="failed", seconds=9.0))
    by_end, _ = trials(run.results_file, mangled_json, range(12), ["status", run.path])

    assert [each for each in by_job if "there is no such task" not in each and "task has ended" not in each] == []
    assert [each for each in by_results if "the run has ended" not in each] == []
    assert by_end == []
    assert (refused, over) == (24, 24)
    assert list(run.requests.iterdir()) == []


def test_sealed_files(tmp_path):
    """Checkpoints and artifacts that were cut or damaged are refused by their name, or are as they were sealed."""
    path = tmp_path / "layer-000.h5"
    arrays = {"p/weight": np.arange(4000, dtype=np.float32), "p/bias": np.ones(7), "state": np.arange(5)}
    seal(path, arrays, {"task": "digit", "step": 3})
    sound, refused = path.read_bytes(), 0
    for number in range(50):
        content = mangled_bytes(sound, number)
        path.write_bytes(content)
        try:
            found, facts = read_sealed(path)
        except DamagedFileError as error:
            refused += str(path) in str(error)
        else:
            assert facts == {"task": "digit", "step": 3}, number
            assert all(np.array_equal(found[name], arrays[name]) for name in arrays), number
        assert path.read_bytes() == content

    assert refused >= 38


@pytest.mark.parametrize(
    ("name", "values"),
    {
        "HPCMTL_FAULT": ["kil", "kill:rank", "boom:rank=1", ";;x", "slow:seconds=1e99", "full:", "\x7f"],
        "HPCMTL_HEARTBEAT": ["0", "-1", "soon", "nan", "1e99", "5 s"],
        "HPCMTL_HUNG_SECONDS": ["-1", "never", "nan", "1e99"],
        "HPCMTL_RANK_SPEED": ["1", "9:1", "0:0", "0:-1", "1-0:1", "a:b", "0:nan", ",", "0:inf", "-1:1"],
        "HPCMTL_COLUMNS": ["wide", "-3", "1.5", "²"],
    }.items(),
)
def test_settings(family_file, monkeypatch, name, values):
    """Settings in the environment that make no sense are refused before a rank is started, by name, with a remedy."""
    monkeypatch.setattr("hpcmtl.cli.world.mpirun_command", lambda *_: ["false"])  # what must not be reached
    before = state(family_file.parent)
    for value in values:
        with pytest.MonkeyPatch.context() as here:
            here.setenv(name, value)
            code, said = call("run", family_file)

        assert (code, name in said) == (3, True), (value, said)
    assert state(family_file.parent) == before


ODD_NUMBERS = ["", " ", "-1", "x", "1.5", "²", "٣", "0x1", "99999999999999999999", "1;2", "\x7f", "None"]
PAIRS = [
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("PMI_RANK", "PMI_SIZE"),
    ("PMIX_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"),
]


@pytest.mark.parametrize(("rank", "size"), PAIRS)
def test_variables_of_launchers(rank, size):
    """Variables that launchers are said to set and none sets are passed over, or the world is refused with reasons."""
    for odd in ODD_NUMBERS:
        for environ in ({rank: odd, size: "4"}, {rank: "0", size: odd}, {rank: odd, size: odd}, {rank: odd}):
            place = rank_environment(environ)
            assert place is None or place.rank >= 0
            with contextlib.suppress(EnvironmentUnfitError):
                require_world(4, environ)
