"""The export to MLflow, read back by MLflow's own client."""

import sys

import pytest
from written_runs import two_tasks

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.report.mlflow import log_run
from hpcmtl.results.curves.point import TrainingPoint
from hpcmtl.results.sinks.curve_writer import CurveWriter


@pytest.mark.slow  # MLflow takes seconds to import
def test_a_run_of_mlflow_for_each_task(tmp_path, monkeypatch):
    """Curves keep their steps and times; metrics of the results are there too; a second export makes runs again."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file://{tmp_path}/store")
    run = two_tasks(tmp_path / "run")
    curves = CurveWriter(run)
    for step in (1, 2):
        curves.on_point("a", TrainingPoint(step=step, at=1.7e9 + step, losses={"val_ndcg@10": step / 4}))
    curves.close()

    logged = log_run(run)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("family")
    found = {each.data.tags["hpcmtl.task"]: each for each in client.search_runs([experiment.experiment_id])}
    history = client.get_metric_history(found["a"].info.run_id, "val_ndcg_at_10")

    assert (logged.experiment, logged.runs) == ("family", 2)
    assert [(m.step, m.value, m.timestamp) for m in history] == [(1, 0.25, 1700000001000), (2, 0.5, 1700000002000)]
    assert found["b"].data.metrics == {"loss": 0.5}
    assert found["a"].data.params["kind"] == "train"
    assert {each.info.status for each in found.values()} == {"FINISHED"}
    assert log_run(run, "mine").experiment == "mine"


def test_without_mlflow(tmp_path, monkeypatch):
    """Without MLflow the message says what to install."""
    monkeypatch.setitem(sys.modules, "mlflow", None)

    with pytest.raises(EnvironmentUnfitError, match="pip install mlflow-skinny"):
        log_run(two_tasks(tmp_path / "run"))
