"""PyTorch is imported only where a task asks for it, and MXNet is not imported beside it."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

CODE = """
import sys
import hpcmtl
from hpcmtl.pipeline.prepare import plan, prepare
prepared = prepare(sys.argv[1])
plan(prepared)
print(sorted({"torch", "mxnet"} & sys.modules.keys()))
from hpcmtl.training.frameworks import open_framework
if sys.argv[2] != "none":
    open_framework(sys.argv[2])
print(sorted({"torch", "mxnet", "horovod"} & sys.modules.keys()))
"""


@pytest.mark.parametrize(("framework", "expected"), [("none", "[]"), ("torch", "['torch']")])
def test_a_plan_imports_no_framework_and_a_framework_no_other(tmp_path, framework, expected):
    """`import hpcmtl`, validation without building, and planning need no framework; PyTorch needs no MXNet."""
    if framework == "torch":
        pytest.importorskip("torch")
    job = tmp_path / "job.yaml"
    job.write_text("hpcmtl: 1\njob: a\ntasks: {t: {kind: python, callable: 'm:f'}}\n")
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(job), framework], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["[]", expected]
