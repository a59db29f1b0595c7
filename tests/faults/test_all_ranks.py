"""An error on all ranks of a group alike fails the task, and with it the tasks that need it, and nothing else."""

import re

import pytest
from jobs import family, family_task


@pytest.mark.slow
@pytest.mark.timeout(450)
def test_failed_tasks_and_the_others(start):
    """Errors on all ranks and losses that are not finite fail their tasks; dependents are skipped, others complete."""
    tiny = {"input": "digits/images", "epochs": 2, "ranks": 2}
    diverging = {"name": "sgd", "learning_rate": 1e30}
    after = {"kind": "predict", "needs": {"diverging": "parameters"}}
    job = family(
        ranks=2,
        tasks={
            "raising": {"kind": "python", "callable": "user_code:together", "ranks": 2},
            "diverging": family_task("digit", **tiny, optimizer=diverging),
            "after_raising": {"kind": "python", "callable": "user_code:together", "needs": ["raising"]},
            "after_diverging": after,
            "background": family_task(
                "digit", **tiny, model={"name": "user_code:raises_in_the_background", "outputs": 10}
            ),
            "last": {"kind": "predict", "needs": {"good": "parameters", "after_diverging": "order"}},
            "good": family_task("parity", **tiny),
            "applied": {"kind": "predict", "needs": {"good": "parameters"}},
        },
    )
    run = start(job).finish()
    tasks = run.results["tasks"]
    statuses = {name: task["status"] for name, task in tasks.items()}

    assert run.returncode == 1, run.said
    assert run.results["status"] == "failed"
    assert statuses == {
        "raising": "failed",
        "diverging": "failed",
        "background": "failed",
        "after_raising": "skipped",
        "after_diverging": "skipped",
        "last": "skipped",
        "good": "complete",
        "applied": "complete",
    }
    assert tasks["raising"]["message"].startswith("ZeroDivisionError: on purpose, on all ranks (")
    assert re.search(r"user_code.py:\d+\)$", tasks["raising"]["message"])
    assert "task diverging, layer 0, step " in tasks["diverging"]["message"]
    assert "the loss is not finite" in tasks["diverging"]["message"]
    assert tasks["background"]["message"].startswith("MXNetError: ")
    assert "\n" not in tasks["background"]["message"]
    assert tasks["last"]["message"] == "needs after_diverging, which was skipped"
    for name in ("raising", "diverging", "after_raising", "last"):
        assert tasks[name]["message"] in run.stdout, name
        assert f"{name} {statuses[name]}" in run.stderr, name
    assert "ZeroDivisionError: on purpose, on all ranks" in run.log(1)
    assert run.leftovers() == []


@pytest.mark.slow
@pytest.mark.timeout(450)
def test_users_see_their_own_lines_alone(start):
    """An exception shows the frames of the user, a refusal is its sentence, and an unused parameter is said once."""
    tiny = {"input": "digits/images", "epochs": 2, "ranks": 2}
    job = family(
        ranks=2,
        tasks={
            "raising": {"kind": "python", "callable": "user_code:together", "ranks": 1},
            "refused": {"kind": "python", "callable": "user_code:reads_nothing", "ranks": 1},
            "unused": family_task("digit", **tiny, model={"name": "user_code:with_an_unused_layer", "outputs": 10}),
            "applied": {"kind": "predict", "needs": {"unused": "parameters"}},
        },
    )
    run = start(job).finish()
    messages = {name: task["message"] for name, task in run.results["tasks"].items()}
    frames = [line for line in run.stderr.splitlines() if line.startswith("  File ")]
    unused = [line for line in run.stderr.splitlines() if "unused" in line and "unused." in line]

    assert run.returncode == 1, run.said
    assert messages["refused"].startswith("task refused: user_code:reads_nothing: 'nothing' is not among its inputs")
    assert len(frames) == 1, run.said
    assert "user_code.py" in frames[0]
    assert "Traceback" not in run.stderr
    assert len(unused) == 1, run.said
    assert "is not used by any computation" not in run.said
