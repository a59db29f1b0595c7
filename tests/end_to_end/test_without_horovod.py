"""Without a Horovod that imports, groups train by kvstore and say so; `horovod!` refuses, with the remedy."""

import pytest
from jobs import family, family_task
from runs import PROGRAM, without_module

pytestmark = [pytest.mark.slow, pytest.mark.timeout(450)]


@pytest.fixture
def no_horovod(tmp_path):
    """An environment in which `import horovod` fails."""
    return without_module(tmp_path, "horovod", ImportError("Extension horovod.mxnet has not been built"))


def job(engine):
    """A small training on two ranks that asks for an engine."""
    task = family_task("digit", input="digits/images", epochs=3, ranks=2, engine=engine)
    return family(ranks=2, tasks={"digit": task, "fp16": {**task, "compression": "fp16"}})


def test_kvstore_takes_its_place(start, no_horovod):
    """The job trains, and results, log and stderr say by which engine and why."""
    run = start(job("horovod"), PROGRAM, env=no_horovod).finish()
    tasks = run.results["tasks"]

    assert run.returncode == 0, run.said
    for task in tasks.values():
        assert task["engine"] == "kvstore"
        assert task["engine_reason"].startswith("horovod cannot be used: Horovod was built without MXNet")
        assert task["metrics"]["val_accuracy"] > 0.8
    assert tasks["fp16"]["compression"] == "fp16"
    assert "engine kvstore: horovod cannot be used" in run.stderr
    assert "engine kvstore: horovod cannot be used" in run.log(0)


def test_insisting_ends_with_the_remedy(start, no_horovod):
    """`horovod!` trains nothing, writes nothing and exits with 3."""
    run = start(job("horovod!"), PROGRAM, env=no_horovod).finish()

    assert run.returncode == 3, run.said
    assert "engine `horovod!` refuses to fall back" in run.stderr
    assert "launchers/bootstrap.sh" in run.stderr
    assert "engine: horovod" in run.stderr
    assert not (run.folder / "runs").exists()
