"""Variables of the environment that MXNet cannot use are refused in words."""

import pytest

from hpcmtl.errors import EnvironmentUnfitError
from hpcmtl.training.gluon.settings import require_settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OMP_NUM_THREADS", "4,2"),
        ("OMP_NUM_THREADS", "0"),
        ("OMP_NUM_THREADS", "abc"),
        ("MXNET_CPU_WORKER_NTHREADS", "abc"),
        ("MXNET_MKLDNN_ENABLED", "yes"),
        ("MXNET_EXEC_BULK_EXEC_TRAIN", "on"),
        ("MXNET_ENGINE_TYPE", "Naive"),
        ("DMLC_ROLE", "server"),
        ("DMLC_ROLE", "scheduler"),
    ],
)
def test_a_value_that_ends_mxnet_by_a_signal_is_refused(name, value):
    """The sentence names the variable and its value; MXNet itself aborts, or serves parameters for ever."""
    with pytest.raises(EnvironmentUnfitError, match=f"{name}=.?{value}"):
        require_settings({name: value})


def test_what_mxnet_can_use_is_left_alone():
    """Numbers, truth values, known engines, empty values and texts that MXNet reads as texts are accepted."""
    require_settings(
        {
            "OMP_NUM_THREADS": "4",
            "MXNET_MKLDNN_ENABLED": "false",
            "MXNET_CPU_WORKER_NTHREADS": "2",
            "MXNET_KVSTORE_BIGARRAY_BOUND": "",
            "MXNET_ENGINE_TYPE": "NaiveEngine",
            "MXNET_SUBGRAPH_BACKEND": "MKLDNN",
            "MXNET_GPU_MEM_POOL_TYPE": "Round",
            "DMLC_ROLE": "worker",
        }
    )
