"""A run directory whose job was interrupted, made without running it."""

from __future__ import annotations

import numpy as np
import yaml
from events import event

from hpcmtl.data.fingerprint import fingerprints_of, fingerprints_to_json
from hpcmtl.data.hdf5 import write_dataset_file
from hpcmtl.jobfile.load import parse_job
from hpcmtl.pipeline.prepare import plan, prepare
from hpcmtl.results.ledger import Ledger
from hpcmtl.results.rundir.directory import create, write_json_atomically

ROWS = 12


def write(path, **changed):
    """Write a data file of the run, with some arrays changed."""
    split = changed.pop("split", np.arange(ROWS) % 3)
    arrays = {"x": np.ones((ROWS, 2), np.float32), "y": np.arange(ROWS) % 2, "other": np.zeros(ROWS), **changed}
    write_dataset_file(path, arrays, split, overwrite=True)


def interrupted(tmp_path, *events):
    """Write a run after the start of `net` and some events; return its directory."""
    for name in ("rows", "more"):
        write(tmp_path / f"{name}.h5")
    base = {"kind": "train", "loss": "softmax_ce", "model": {"name": "mlp", "outputs": 2}, "epochs": 1}
    tasks = {name: {**base, "input": f"{data}/x", "target": f"{data}/y"} for name, data in _READ.items()}
    data = {name: str(tmp_path / f"{name}.h5") for name in _READ.values()}
    prepared = prepare(parse_job({"hpcmtl": 1, "job": "stopped", "data": data, "tasks": tasks}))
    directory = create(tmp_path / "runs", "stopped")
    directory.job_file.write_text(yaml.safe_dump(prepared.resolved()))
    write_json_atomically(directory.plan_file, plan(prepared).to_dict())
    write_json_atomically(directory.data_file, fingerprints_to_json(fingerprints_of(prepared.files.values())))
    with Ledger(directory.ledger_file) as ledger:
        ledger.append(event("job_started", job="stopped", ranks=1, policy="variable", host="", attempt=1))
        ledger.append(event("layer_started", task="net", layer=0, layers=1, first_rank=0, ranks=1))
        for each in events:
            ledger.append(each)
    return directory.path


_READ = {"net": "rows", "later": "more"}
