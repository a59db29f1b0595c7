"""What goes wrong on all ranks of a group alike fails the task, and with it what needs it, and nothing else."""

import pytest
from jobs import family, family_task


@pytest.mark.slow
@pytest.mark.timeout(180)
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
    assert tasks["raising"]["message"] == "ZeroDivisionError: on purpose, on all ranks"
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
