"""The verbs that run nothing: exit codes, data on stdout, talk on stderr, every problem at once and nothing left."""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from jobs import family, write_job
from runs import run_python

from hpcmtl.cli.app import main


class Done(NamedTuple):
    """Returns the exit code of a command, its output, and the files that it left."""

    code: int
    out: str
    err: str
    left: set[Path]


SICK = """\
hpcmtl: 1
job: sick
ranks: two
policy: variabel
data: {digits: nowhere.h5}
tasks:
  trunk:
    kind: train
    model: {name: conv_autoencoder, channels: [4], code: 8}
    input: digits/images
    target: digits/images
    loss: l2
    epoch: 2
  count: {kind: python, callable: user_code:census}
"""


@pytest.fixture
def hpcmtl(monkeypatch, capfd, tmp_path):
    """Run the command in `tmp_path`, in this process, which saves a second each time."""

    def call(*words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["hpcmtl", *words])
        before = set(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        left = {path for path in set(tmp_path.rglob("*")) - before if "__pycache__" not in path.parts}
        return Done(int(ended.value.code or 0), said.out, said.err, left)

    return call


def real(folder, *words):
    """Run the command as a process of its own."""
    done = run_python(folder, "-m", "hpcmtl", *words)
    return Done(done.returncode, done.stdout, done.stderr, set())


def test_version_and_help(hpcmtl):
    """The version and the help are data, and the help has the exit codes."""
    version, help_ = hpcmtl("--version"), hpcmtl("--help")

    assert (version.code, version.err) == (0, "")
    assert version.out.startswith("hpcmtl 0.")
    assert help_.code == 0
    assert "75 stopped" in " ".join(help_.out.split())


@pytest.mark.parametrize("words", [[], ["plan"], ["submit"], ["status"], ["doctor"]])
def test_the_help_names_no_value_for_a_flag(hpcmtl, words):
    """A flag such as `--json` takes no value."""
    help_ = hpcmtl(*words, "--help")

    assert (help_.code, "bool" in help_.out.lower()) == (0, False)
    assert "--help" in help_.out


@pytest.mark.parametrize(
    "words", [["plan"], ["run", "job.yaml", "--ranks", "0"], ["train", "job.yaml"], ["plan", "-x"]]
)
def test_arguments_that_cannot_be(hpcmtl, words):
    """Arguments that make no sense end with 2, and are talked about on stderr."""
    done = hpcmtl(*words)

    assert (done.code, done.out, done.left) == (2, "", set())
    assert "Usage" in done.err


def test_a_sound_job(hpcmtl, family_file):
    """`validate` and `plan` end with 0 and have nothing to talk about; the table follows --ranks."""
    validate = hpcmtl("validate", family_file.name)
    table = hpcmtl("plan", family_file.name, "--ranks", "3")

    assert validate == (0, "job.yaml: job family is sound: 8 tasks, 21 layers\n", "", set())
    assert (table.code, table.err, table.left) == (0, "", set())
    assert "8 tasks on 3 ranks" in table.out
    assert "lower bound" in table.out


def test_views_of_a_plan(hpcmtl, family_file):
    """The policies side by side, the reasons for one task, what a time limit cuts off, and a picture."""
    compared = hpcmtl("plan", family_file.name, "--ranks", "3", "--compare")
    numbers = hpcmtl("plan", family_file.name, "--ranks", "3", "--compare", "--json")
    reasons = hpcmtl("plan", family_file.name, "--ranks", "3", "--explain", "trunk")
    limited = hpcmtl("plan", family_file.name, "--ranks", "3", "--time-limit", "1s", "--svg", "plan.svg")
    makespans = {plan["policy"]: plan["makespan"] for plan in json.loads(numbers.out)}

    assert (compared.code, compared.err) == (0, "")
    assert set(makespans) == {"variable", "fixed", "waves", "sequential", "one_rank"}
    assert all(policy in compared.out for policy in makespans)
    assert makespans["variable"] <= min(makespans["waves"], makespans["sequential"], makespans["one_rank"]) * 1.000001
    assert "starts at once" in reasons.out
    assert "layers" in reasons.out
    assert "tasks may not end in time" in limited.out
    assert {path.name for path in limited.left} == {"plan.svg"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--explain", "trunc"], "there is no task 'trunc'; did you mean 'trunk'?"),
        (["--time-limit", "soon"], "'soon' is no time: write 90s"),
        (["--svg", "nowhere/plan.svg"], "there is no folder nowhere; name a file in a folder that exists"),
        (["--policy", "varable"], "unknown policy 'varable'; did you mean 'variable'?"),
    ],
)
def test_views_that_cannot_be(hpcmtl, family_file, words, said):
    """A task, run or key that is not there is named, with the nearest one that is."""
    done = hpcmtl("plan", family_file.name, *words)

    assert (done.code, done.out, done.left) == (2, "", set())
    assert said in done.err


def test_json(hpcmtl, family_file):
    """The JSON of `plan` and `schema` is all that is on stdout."""
    plan = hpcmtl("plan", family_file.name, "--ranks", "3", "--policy", "waves", "--json")
    schema = hpcmtl("schema")
    planned = json.loads(plan.out)

    assert (plan.code, plan.err, schema.code, schema.err) == (0, "", 0, "")
    assert (planned["ranks"], planned["policy"], planned["barrier"]) == (3, "waves", True)
    assert [task["name"] for task in planned["tasks"]][:2] == ["trunk", "features"]
    assert "tasks" in json.loads(schema.out)["properties"]


@pytest.mark.parametrize("verb", ["validate", "plan", "run"])
def test_all_problems_at_once(hpcmtl, tmp_path, verb):
    """A wrong type, keys, a missing file and an unknown policy are reported together, each with file, key and line."""
    (tmp_path / "job.yaml").write_text(SICK)
    done = hpcmtl(verb, "job.yaml")

    assert (done.code, done.out, done.left) == (2, "", set())
    assert done.err.startswith("hpcmtl: 4 problems:\n  job.yaml: ")
    assert "job.yaml: ranks (line 3): found 'two'" in done.err
    assert "job.yaml: policy (line 4): unknown policy 'variabel'; did you mean 'variable'?" in done.err
    assert "job.yaml: data.digits (line 5)" in done.err
    assert "nowhere.h5" in done.err
    assert "job.yaml: tasks.trunk.epoch (line 13): unknown key 'epoch'; did you mean 'epochs'?" in done.err
    assert "epochs (line 7)" not in done.err  # what follows from the typo


def test_edges_that_do_not_fit(hpcmtl, tmp_path, digits_file):
    """Unknown tasks, a cycle and too many ranks are reported together; the cycle is printed as a path."""
    job = family(ranks=2)
    job["tasks"]["trunk"]["needs"] = {"digit": "order"}
    job["tasks"]["report"]["needs"] = {"jiont": "parameters"}
    job["tasks"]["joint"]["ranks"] = {"min": 3}
    write_job(tmp_path, job, digits_file)
    done = hpcmtl("run", "job.yaml")

    assert (done.code, done.out, done.left) == (2, "", set())
    assert "unknown task 'jiont'; did you mean 'joint'?" in done.err
    assert "cycle: trunk -> digit -> features -> trunk" in done.err
    assert "the task needs 3 ranks but the job has 2" in done.err


@pytest.mark.parametrize("count", [1, 2])
def test_a_run_says_what_it_begins_with(hpcmtl, monkeypatch, tmp_path, digits_file, count):
    """The line before the ranks names the checks as what is to come, with nouns that fit the numbers."""
    monkeypatch.setattr("hpcmtl.cli.world.start_ranks", lambda *_, **__: 0)
    report = {"kind": "python", "callable": "user_code:census"}
    write_job(tmp_path, family(tasks={f"report{at}": report for at in range(count)}), digits_file)
    done = hpcmtl("run", "job.yaml")
    size = "1 task, 1 layer" if count == 1 else "2 tasks, 2 layers"

    assert (done.code, done.err) == (0, f"hpcmtl: family: {size}; checking data and networks ...\n")


@pytest.mark.parametrize("name", ["missing.yaml", "folder.yaml", "torn.yaml", "torn.toml", "list.yaml", "binary.yaml"])
def test_files_that_are_no_job(hpcmtl, tmp_path, name):
    """A file that is no job file at all is refused by its name."""
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "torn.yaml").write_text("tasks: {a: [1,")
    (tmp_path / "torn.toml").write_text("tasks = {")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    done = hpcmtl("run", name)

    assert (done.code, done.out, done.left) == (2, "", set())
    assert done.err.startswith(f"hpcmtl: 1 problem:\n  {name}")


def test_toml_is_yaml(hpcmtl, family_file):
    """The same job in TOML gives the same plan."""
    family_file.with_suffix(".toml").write_text(as_toml(family()))
    yaml, toml = (hpcmtl("plan", name, "--json") for name in ("job.yaml", "job.toml"))

    assert (toml.code, toml.err) == (0, "")
    assert toml.out == yaml.out


def as_toml(job):
    """Write a job as TOML, tables inline: the standard library only reads TOML."""

    def value(of):
        if isinstance(of, dict):
            return "{" + ", ".join(f"{json.dumps(key)} = {value(item)}" for key, item in of.items()) + "}"
        return json.dumps(of)

    return "".join(f"{key} = {value(of)}\n" for key, of in job.items())


def test_as_a_process(tmp_path):
    """The real command has the same exit code and streams, and no traceback for what is the user's to mend."""
    (tmp_path / "job.yaml").write_text(SICK)
    done = real(tmp_path, "run", "job.yaml")

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("hpcmtl: 4 problems:\n")
    assert "Traceback" not in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]


@pytest.mark.slow
def test_doctor(tmp_path):
    """The doctor's JSON is all of its stdout, its exit code says what the JSON says, and it leaves nothing behind."""
    done = real(tmp_path, "doctor", "--json")
    said = json.loads(done.out)

    assert done.code == (0 if said["fit"] else 3)
    assert said["fit"] == all(check["ok"] for check in said["checks"])
    assert list(tmp_path.iterdir()) == []
