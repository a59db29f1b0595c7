"""Runs every command and the Python example of the README; a command that is run elsewhere is named with the place."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from hpcmtl.data.hdf5 import write_dataset_file

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line and not line.startswith("#")
]

(PYTHON_BLOCK,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

(SAMPLE,) = re.findall(r"```\n(task .*?)```", README, re.DOTALL)

LIGHT = [command for command in COMMANDS if re.match(r"hpcmtl (validate|plan|schema|submit)\b", command)]
RUNS = [command for command in COMMANDS if "hpcmtl run" in command and "srun" not in command]
RUNS += [command for command in COMMANDS if command.startswith("launchers/local.sh")]
ELSEWHERE = {
    "tests/run.sh": "is what runs these tests",
    "hpcmtl history": "tests/cli/test_history.py",
    "hpcmtl doctor": "tests/cli/test_doctor.py",
    "hpcmtl status --watch": "tests/cli/test_status.py",
    "launchers/srun.sh -np 4 hpcmtl run examples/digits.yaml": "needs an allocation; tests/launch compares its argv",
}


def test_every_command_is_run_somewhere() -> None:
    """A command that is added to the README has to be run too."""
    covered = {*LIGHT, *RUNS, *ELSEWHERE}

    assert set(COMMANDS) - covered == set()
    assert set(ELSEWHERE) - set(COMMANDS) == set()


@pytest.mark.parametrize("command", LIGHT)
def test_light_commands_work(command: str) -> None:
    """Validate, plan, schema and a dry submission print something and succeed."""
    words = shlex.split(command)
    result = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout


@pytest.fixture(scope="module")
def small_examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the README's job file as it stands, and a tenth of its images."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "examples").mkdir()
    shutil.copy(ROOT / "examples/digits.yaml", folder / "examples")
    with h5py.File(ROOT / "data/mnist5k.h5") as file:
        arrays = {name: array[::10] for name, array in file.items() if name != "split"}
        details = {
            name: {"classes": list(file[name].attrs["classes"])} for name in arrays if "classes" in file[name].attrs
        }
        split = file["split"][::10]
    (folder / "data").mkdir()
    write_dataset_file(folder / "data/mnist5k.h5", arrays, split, details)
    return folder


def form_of(output: str) -> list[list[str]]:
    """Returns what every run of one job prints alike: headings, tasks with their status and metrics, the last line."""
    lines = [line for line in output.splitlines() if line.strip()]
    head = next(number for number, line in enumerate(lines) if line.startswith("task "))
    (end,) = (number for number, line in enumerate(lines) if "tasks complete" in line)
    metrics = lines[head].index("metrics")
    rows = [[*line[:metrics].split()[:2], *line[metrics:].split()[:1]] for line in lines[head + 1 : end]]
    return [lines[head].split(), *rows, re.sub(r"[\d.]+", "0", lines[end]).split()]


@pytest.mark.slow
@pytest.mark.mpi
@pytest.mark.parametrize("command", RUNS)
def test_runs_complete(command: str, tmp_path: Path, small_examples: Path) -> None:
    """Each launcher of the README trains the digits job to its end; its table has the form of the README's."""
    if shutil.which("hpcmtl") is None:
        pytest.fail("the hpcmtl command is not on PATH: run this by tests/run.sh")
    words = [*shlex.split(command), "--runs", str(tmp_path)]
    if words[0] == "mpirun":  # root has to confirm that it means it
        words[1:1] = ["--allow-run-as-root"]
    if words[0].startswith("launchers/"):
        words[0] = str(ROOT / words[0])
    folder = ROOT if "local.sh" in words[0] else small_examples  # the first command is run on all images
    result = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=280, check=False)

    assert result.returncode == 0, result.stderr
    assert "6 of 6 tasks complete" in result.stdout
    assert form_of(result.stdout) == form_of(SAMPLE)


@pytest.mark.slow
@pytest.mark.mpi
def test_the_python_example_runs(tmp_path: Path) -> None:
    """The Python block works as it stands in a folder that has what the Start block leaves: the data."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    result = subprocess.run(
        [sys.executable, "-c", PYTHON_BLOCK],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    status, metrics = result.stdout.splitlines()[-2:]
    assert (status, list(ast.literal_eval(metrics))) == ("complete", ["val_accuracy", "loss"])
    assert [path.name for path in (tmp_path / "runs").glob("one-*/results.json")] == ["results.json"]
