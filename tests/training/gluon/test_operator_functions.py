"""Operator functions that are made at their first call are those that MXNet makes at its import."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from runs import run_python

from hpcmtl.training.gluon.compat import import_mxnet
from hpcmtl.training.gluon.operator_functions import first_call_function

if TYPE_CHECKING:
    from pathlib import Path

mx = import_mxnet()

# Each function of each module of MXNet: code, defaults and names, without the handle, which differs by process.
FUNCTIONS = """
import hashlib, json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
np.bool = bool
if {ours}:
    from hpcmtl.training.gluon.compat import import_mxnet
    import_mxnet()
import mxnet
found = {{}}
for place, module in sorted(sys.modules.items()):
    if place.startswith(("mxnet.ndarray", "mxnet.symbol", "mxnet.numpy", "mxnet.contrib")):
        for name, function in sorted(vars(module).items()):
            if name.startswith("_init_") or type(function) is not type(json.dumps):
                continue
            if not function.__module__.startswith("mxnet."):
                continue
            if "_complete" in (function.__kwdefaults__ or {{}}):
                function.__kwdefaults__["_complete"]()
            code = function.__code__
            constants = [str(each) for each in code.co_consts if type(each) is not int and not hasattr(each, "co_code")]
            text = repr((code.co_code, code.co_names, code.co_varnames, constants, function.__kwdefaults__))
            defaults = [str(each) for each in function.__defaults__ or () if "0x" not in str(each)]
            found[place + "." + name] = [hashlib.sha256(text.encode()).hexdigest(), defaults, function.__module__]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_all_functions_are_those_of_mxnet(tmp_path: Path) -> None:
    """After their first calls some 2,500 functions have the code, defaults and modules of a plain import."""
    ours, plain = (run_python(tmp_path, "-c", FUNCTIONS.format(ours=ours)) for ours in (True, False))
    found, expected = json.loads(ours.stdout), json.loads(plain.stdout)

    assert len(expected) > 2500
    assert found.keys() == expected.keys()
    assert {name for name in expected if found[name] != expected[name]} == set()


def test_threads_that_call_a_function_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads call functions for the first time together; each gets its values."""
    registered: list[str] = []

    def register(name: str) -> None:
        handle = mx.base.OpHandle()
        mx.base.check_call(mx.base._LIB.NNGetOpHandle(mx.base.c_str(name), mx.base.ctypes.byref(handle)))
        made = first_call_function(mx.ndarray.register._make_ndarray_function, handle, name, name)
        monkeypatch.setattr(mx.nd.op, name, made)
        registered.append(name)

    for name in ("sqrt", "square", "exp", "abs", "sin", "cos", "tan", "floor", "ceil", "cbrt"):
        register(name)
    values = np.array([0.25, 1.0, 2.0], np.float32)
    array, start, wrong = mx.nd.array(values), threading.Barrier(8), list[str]()

    def call() -> None:
        for name in registered:
            start.wait()
            made = getattr(mx.nd.op, name)(array, name="x").asnumpy()
            if not np.allclose(made, getattr(np, name)(values), rtol=1e-6):
                wrong.append(name)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert mx.nd.op.sqrt.__kwdefaults__ is None
    assert "square-root" in mx.nd.op.sqrt.__doc__
