"""A task that may be tried again goes on from its last checkpoint, and ends as if nothing had happened."""

import h5py
import numpy as np
import pytest
from jobs import family, family_task


def parameters(run):
    """What the task published, by name."""
    with h5py.File(run.directory / "artifacts" / "digit.h5", locking=False) as file:
        found = {}
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_failure_in_the_middle_changes_nothing(start):
    """An error on all ranks in the last of four layers costs that layer alone; the weights are those of a sound run."""
    runs = {}
    for name, call in (("sound", 10**9), ("stumbling", 80)):
        model = {"name": "user_code:stumbles", "outputs": 10, "call": call}
        task = family_task("digit", input="digits/images", model=model, epochs=4, layers=4, ranks=2, retries=1)
        runs[name] = start(family(ranks=2, tasks={"digit": task})).finish()
        assert runs[name].returncode == 0, runs[name].said
    layers = {
        name: [event["layer"] for event in run.events if event["event"] == "layer_started"]
        for name, run in runs.items()
    }
    retried = [event for event in runs["stumbling"].events if event["event"] == "task_retried"]
    sound, stumbling = parameters(runs["sound"]), parameters(runs["stumbling"])

    assert layers == {"sound": [0, 1, 2, 3], "stumbling": [0, 1, 2, 3, 3]}
    assert [(event["layer"], event["retry"], event["wait"]) for event in retried] == [(3, 1, 1.0)]
    assert "on purpose, at call 80" in retried[0]["message"]
    assert "try 1 of 1 follows" in runs["stumbling"].stderr
    assert sound.keys() == stumbling.keys()
    assert all(np.array_equal(sound[name], stumbling[name]) for name in sound)
