"""OpenMetrics text, read by the parser of prometheus-client."""

import math

import pytest
from events import event
from hypothesis import given
from hypothesis import strategies as st

from hpcmtl.results.curves.point import TrainingPoint
from hpcmtl.results.heartbeat import Heartbeat
from hpcmtl.results.sinks.open_metrics import OpenMetricsFile, text_of
from hpcmtl.results.step_progress import StepProgress

parser = pytest.importorskip("prometheus_client.openmetrics.parser")


def parsed(text):
    """All samples: name and labels -> value."""
    families = list(parser.text_string_to_metric_families(text))
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


def test_the_newest_values(tmp_path):
    """The file has the newest value of each loss and metric, the progress of tasks, and memory and cores of ranks."""
    sink = OpenMetricsFile(tmp_path / "metrics.prom", 'a "job"')
    sink.on_event(event("job_started", job="j", ranks=2), 1.7e9)
    sink.on_event(event("layer_started", task="t", layer=0, layers=2, first_rank=0, ranks=2), 1.7e9)
    sink.on_progress(StepProgress("t", 0, 0, 0.5, 120.0, 0.25))
    for step in (1, 2):
        sink.on_point("t", TrainingPoint(step=step, losses={"loss": 1 / step}))
    sink.on_heartbeats([Heartbeat(1, 10**6, 0.5, 1.0, 10**9)])
    sink.close()
    found = parsed((tmp_path / "metrics.prom").read_text())
    job, task = ("job", 'a "job"'), ("task", "t")

    assert found["hpcmtl_task_value", job, ("name", "loss"), task] == 0.5
    assert found["hpcmtl_task_step", job, task] == 2
    assert found["hpcmtl_task_complete", job, task] == 0
    assert found["hpcmtl_task_samples_per_second", job, task] == 120
    assert found["hpcmtl_task_layer_ratio", job, task] == 0.25
    assert found["hpcmtl_rank_memory_bytes", job, ("rank", "1")] == 10**6
    assert found["hpcmtl_node_load", job, ("rank", "1")] == 1


@given(st.text(), st.floats())
def test_any_name_and_value(name, value):
    """Whatever the name of a job and the value, a parser gets them back."""
    ((labels, found),) = parsed(text_of({"rank_cores": [({"job": name}, value)]})).items()

    assert labels == ("hpcmtl_rank_cores", ("job", name))
    assert found == value or (math.isnan(found) and math.isnan(value))
