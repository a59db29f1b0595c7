from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from hpcmtl.errors import InputError, Problem
from hpcmtl.jobfile.load import load_job, parse_job

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
hpcmtl: 1
job: digits
ranks: 4
data: {digits: data/digits.h5}
defaults:
  batch_size: 32
tasks:
  trunk:
    kind: train
    input: digits/images
    target: digits/digit
    model: {name: mlp, widths: [64], outputs: 10}
    loss: softmax_ce
    epochs: 4
  report:
    kind: evaluate
    needs: {trunk: parameters}
    metrics: [accuracy]
"""


def problems(tmp_path: Path, text: str, name: str = "job.yaml") -> list[Problem]:
    """Returns the complaints about a file that is loaded; file names are cut to their last part."""
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_job(file)
    prefix = str(tmp_path) + "/"
    return [Problem(p.where.removeprefix(prefix), p.message, p.line) for p in caught.value.problems]


def as_toml(values: dict[str, Any]) -> str:
    """The job as TOML: every value in JSON spelling but mappings, which become tables."""
    lines: list[str] = []

    def table(path: str, mapping: dict[str, Any]) -> None:
        lines.extend([f"[{path}]"] if path else [])
        lines.extend(f"{key} = {json.dumps(value)}" for key, value in mapping.items() if not isinstance(value, dict))
        for key, value in mapping.items():
            if isinstance(value, dict):
                table(f"{path}.{key}" if path else key, value)

    table("", values)
    return "\n".join(lines)


def test_a_good_file_loads_with_defaults_filled_in(tmp_path: Path) -> None:
    """A key that a task leaves open comes from `defaults`, and from the schema where those are silent."""
    file = tmp_path / "job.yaml"
    file.write_text(GOOD)
    job = load_job(file)
    trunk, report = job.tasks["trunk"], job.tasks["report"]

    assert (job.job, job.ranks, job.seed, job.policy) == ("digits", 4, 0, "variable")
    assert (trunk.batch_size, trunk.engine, trunk.compression) == (32, "horovod", "none")
    assert (trunk.optimizer.name, trunk.optimizer.learning_rate) == ("adam", 0.001)
    assert (report.split, report.batch_size, report.needs["trunk"].kind) == ("test", 32, "parameters")


def test_a_task_keeps_what_it_says_itself(digits: dict[str, Any]) -> None:
    """`defaults` fill gaps and overwrite nothing."""
    job = parse_job(digits)

    assert (job.tasks["digit"].batch_size, job.tasks["trunk"].batch_size) == (64, 32)


def test_yaml_and_toml_say_the_same(tmp_path: Path, digits: dict[str, Any]) -> None:
    """The same job written in both forms is the same job."""
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(digits))
    (tmp_path / "job.toml").write_text(as_toml(digits))

    assert load_job(tmp_path / "job.yaml") == load_job(tmp_path / "job.toml")


def test_a_job_survives_being_written_out(digits: dict[str, Any]) -> None:
    """The resolved job that a run directory keeps is read back as the same job."""
    job = parse_job(digits)

    assert parse_job(job.model_dump(by_alias=True)) == job
    assert parse_job(json.loads(job.model_dump_json(by_alias=True))) == job


@pytest.mark.parametrize(
    ("old", "new", "where", "message", "line"),
    [
        ("ranks: 4", "rank: 4", "rank", "unknown key 'rank'; did you mean 'ranks'?", 3),
        ("    loss:", "    los:", "tasks.trunk.los", "unknown key 'los'; did you mean 'loss'?", 13),
        ("    loss:", "    los: 1\n    loss:", "tasks.trunk.los", "unknown key 'los'; did you mean 'loss'?", 13),
        ("loss: softmax_ce", "loss: 7", "tasks.trunk.loss", "found 7", 13),
        ("ranks: 4", "ranks: 0", "ranks", "found 0", 3),
        ("{trunk: parameters}", "{trunk: parameters}\n    ranks: two", "tasks.report.ranks", "found 'two'", 18),
        ("  batch_size:", "  batchsize:", "defaults.batchsize", "did you mean 'batch_size'?", 6),
        ("widths: [64]", "width: [64]", "tasks.trunk.model.width", "did you mean 'widths'?", 12),
        ("epochs: 4", "epochs: four", "tasks.trunk.epochs", "found 'four'", 14),
        ("epochs: 4", "epochs: 0", "tasks.trunk.epochs", "found 0", 14),
        ("ranks: 4", "ranks: [4]", "ranks", "found [4]; write a whole number", 3),
        ("ranks: 4", "ranks: 2.5", "ranks", "found 2.5; write a whole number", 3),
        ("ranks: 4", "ranks: 2.5\nseed: 1", "ranks", "found 2.5; write a whole number", 3),
        ("    loss:", "    validate_every: -1\n    loss:", "tasks.trunk.validate_every", "that is at least 0", 13),
        ("    loss:", "    metrics: mse\n    loss:", "tasks.trunk.metrics", "write a list, such as [mse]", 13),
        ("    loss:", "    optimizer: adam\n    loss:", "tasks.trunk.optimizer", "such as {name: adam, learning", 13),
        ("softmax_ce", "mse", "tasks.trunk.loss", "did you mean 'l2'?", 13),
        (
            "  batch_size: 32",
            "  optimizer: {name: adam, learning_rate: 1, lr: 1}",
            "defaults.optimizer.lr",
            "'learning_rate'?",
            6,
        ),
        ("  batch_size: 32", "  batch_size: true", "defaults.batch_size", "found True", 6),
        (
            "{trunk: parameters}",
            "{trunk: {kind: parameters, every: 0}}",
            "tasks.report.needs.trunk.every",
            "than 0, or layer",
            17,
        ),
        ("widths: [64]", "widths: [64, -1]", "tasks.trunk.model.widths.1", "found -1", 12),
        ("hpcmtl: 1", "hpcmtl: 2", "hpcmtl", "found 2", 1),
        ("kind: train", "kind: trian", "tasks.trunk.kind", "unknown task kind 'trian'; did you mean 'train'?", 9),
        ("    kind: train\n", "", "tasks.trunk", "`kind` is missing", 8),
        ("name: mlp", "name: mlpp", "tasks.trunk.model.name", "unknown model 'mlpp'; did you mean 'mlp'?", 12),
        ("    epochs: 4\n", "", "tasks.trunk.epochs", "is missing", 8),
        ("job: digits", "job: 7up", "job", "a name begins with a letter", 2),
        ("digits/images", "images", "tasks.trunk.input", "write source/dataset", 10),
        ("trunk: parameters", "trunk: params", "tasks.report.needs.trunk.kind", "did you mean 'parameters'?", 17),
        (
            "softmax_ce",
            "softmax",
            "tasks.trunk.loss",
            "framework gluon has no loss 'softmax'; did you mean 'softmax_ce'?",
            13,
        ),
        ("trunk: parameters", "trnk: parameters", "tasks.report.needs.trnk", "did you mean 'trunk'?", 17),
        ("  batch_size: 32", "  batch_size: 32\n  batch_size: 64", "defaults.batch_size", "appears twice", 7),
    ],
)
def test_one_mistake_is_told_with_key_line_and_remedy(
    tmp_path: Path, old: str, new: str, where: str, message: str, line: int
) -> None:
    """Each class of mistake names file, key and line, what was found, and what to write instead."""
    assert old in GOOD
    found = problems(tmp_path, GOOD.replace(old, new, 1))

    assert [(problem.where, problem.line) for problem in found] == [(f"job.yaml: {where}", line)]
    assert message in found[0].message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """A person who made three mistakes runs the check once and not three times."""
    text = GOOD.replace("epochs: 4", "epochs: x").replace("ranks: 4", "rank: 4").replace("    loss:", "    los:")
    found = problems(tmp_path, text)

    assert {problem.where.removeprefix("job.yaml: ") for problem in found} == {
        "rank",
        "tasks.trunk.epochs",
        "tasks.trunk.los",  # and not `loss`, which it means and which is missing therefore
    }


def test_a_task_given_twice_is_refused(tmp_path: Path) -> None:
    """YAML alone would drop the first of two tasks of one name in silence."""
    found = problems(tmp_path, GOOD + "  trunk: {kind: evaluate, needs: {trunk: parameters}}\n")

    assert [(p.where, p.message, p.line) for p in found] == [("job.yaml: tasks.trunk", "this key appears twice", 19)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("job.yaml", "job: [1, 2", "not valid YAML"),
        ("job.yaml", "job:\n  a: 1\n b: 2\n", "at `b: 2`. Check the indentation (spaces, no tabs)"),
        ("job.yaml", "tasks:\n\ta: 1\n", "at `a: 1`; this line begins with a tab"),
        ("job.yaml", "a: b: " + "c" * 99, "c" * 50 + "...`. Check"),
        ("job.py", GOOD, "is a Python script; a job file (YAML or TOML) was expected"),
        ("job.yaml", "- just\n- a list\n", "a job file is a mapping"),
        ("job.yaml", "", "a job file is a mapping"),
        ("job.toml", "job = ", "not valid TOML"),
    ],
)
def test_what_is_no_job_file_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    """Broken syntax and files of another kind are bad input and not a traceback."""
    found = problems(tmp_path, text, name)

    assert len(found) == 1
    assert message in found[0].message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there is named, with the reason."""
    with pytest.raises(InputError, match=r"absent\.yaml: cannot read the job file: No such file"):
        load_job(tmp_path / "absent.yaml")


def test_problems_of_all_depths_come_at_once(digits: dict[str, Any]) -> None:
    """An unknown key in one task does not hide a wrong reference, edge or metric in the others, nor a bad section."""
    digits["tasks"]["trunk"]["foo"] = 1
    digits["tasks"]["digit"]["target"] = "digts/digit"
    digits["tasks"]["report"]["metrics"] = ["aucc"]
    digits["tasks"]["joint"]["needs"]["nobody"] = "order"
    digits["layers"] = {"policy": "varable"}
    with pytest.raises(InputError) as caught:
        parse_job(digits)
    keys = {problem.where.removeprefix("job: ") for problem in caught.value.problems}

    assert keys == {
        "tasks.trunk.foo",
        "tasks.digit.target",
        "tasks.report.metrics",
        "tasks.joint.needs.nobody",
        "layers.policy",
    }


def test_what_cannot_be_read_has_no_consequences(digits: dict[str, Any]) -> None:
    """A wrong number of ranks, default, file and key: what they would make other keys look like is not told."""
    digits["ranks"] = 2.5
    digits["tasks"]["trunk"]["ranks"] = 3
    digits["defaults"]["batch_size"] = "many"
    digits["data"]["more"] = 5
    digits["tasks"]["digit"] |= {"sample_weights": "more/x", "metrics": "weighted_accuracy"}
    digits["tasks"]["joint"]["trunk"]["from"] = "trunc"
    with pytest.raises(InputError) as caught:
        parse_job(digits)
    keys = {problem.where.removeprefix("job: ") for problem in caught.value.problems}

    assert keys == {
        "ranks",
        "defaults.batch_size",
        "data.more",
        "tasks.digit.metrics",
        "tasks.joint.trunk.from",
    }


@pytest.mark.parametrize(
    ("path", "files", "message"),
    [
        ("nope.yml", ["own.yaml"], "cannot read the job file: No such file or directory; did you mean '{}/own.yaml'?"),
        ("digit.yml", ["digits.yaml", "other.toml"], "did you mean '{}/digits.yaml'?"),
        ("zzz", ["digits.yaml", "other.toml"], "; there are digits.yaml, other.toml"),
        ("nope.yml", [], "cannot read the job file: No such file or directory"),
        ("", ["own.yaml"], "is a folder; a job file (YAML or TOML) was expected; did you mean '{}/own.yaml'?"),
    ],
)
def test_other_paths_say_what_was_expected(tmp_path: Path, path: str, files: list[str], message: str) -> None:
    """A path without a file names the job files beside it; a folder those in it."""
    for name in files:
        (tmp_path / name).write_text(GOOD)
    with pytest.raises(InputError) as caught:
        load_job(tmp_path / path)

    assert caught.value.problems[0].message.endswith(message.format(tmp_path))


def test_a_data_file_is_no_job_file(tmp_path: Path) -> None:
    """HDF5 is told by its first bytes, whatever its ending."""
    (tmp_path / "x.data").write_bytes(b"\x89HDF\r\n\x1a\n\x00")

    with pytest.raises(InputError, match="is an HDF5 file; a job file"):
        load_job(tmp_path / "x.data")
