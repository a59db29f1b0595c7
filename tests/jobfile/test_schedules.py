"""A schedule that its task cannot have is refused where the job is checked, and not when the task begins."""

from __future__ import annotations

from typing import Any

import pytest

from hpcmtl.errors import InputError
from hpcmtl.jobfile.load import parse_job


def scheduled(digits: dict[str, Any], schedule: dict[str, Any]) -> dict[str, Any]:
    """The task has 3 epochs and a learning rate of 0.02."""
    digits["tasks"]["digit"]["epochs"] = 3
    digits["tasks"]["digit"]["optimizer"] = {"name": "adam", "learning_rate": 0.02, "schedule": schedule}
    return digits


@pytest.mark.parametrize(
    ("schedule", "key", "message"),
    [
        ({"kind": "cosine", "warmup_epochs": 3}, "warmup_epochs", "takes 3 epochs, and the task has 3"),
        ({"warmup_epochs": 1, "warmup_from": 0.03}, "warmup_from", "0.03 is above the learning rate 0.02"),
        ({"warmup_from": 0.03}, "warmup_from", "0.03 is above the learning rate 0.02"),
        ({"kind": "cosine", "final": 2.0}, "final", "it is from 0 to 1"),
        ({"kind": "step"}, "epochs", "names the epochs at which the rate falls"),
        ({"kind": "step", "epochs": [2, 1]}, "epochs", "2, 1 do not ascend"),
        ({"kind": "step", "epochs": [5]}, "epochs", "5 would have no effect"),
        ({"kind": "step", "epochs": [3]}, "epochs", "3 would have no effect"),
        ({"kind": "step", "warmup_epochs": 2, "epochs": [1]}, "epochs", "after the warm-up \\(2\\)"),
    ],
)
def test_what_does_not_fit_is_refused(digits: dict[str, Any], schedule: dict[str, Any], key: str, message: str) -> None:
    """The message names the key and what is possible."""
    with pytest.raises(InputError, match=f"digit.optimizer.schedule.{key}.*{message}"):
        parse_job(scheduled(digits, schedule))


@pytest.mark.parametrize(
    "schedule",
    [
        {"kind": "step", "epochs": [1, 2.5], "warmup_epochs": 0.5, "warmup_from": 0.02},
        {"kind": "cosine", "final": 1.0, "warmup_epochs": 2.9},
        {"kind": "poly", "power": 2.0},
    ],
)
def test_what_fits_is_taken(digits: dict[str, Any], schedule: dict[str, Any]) -> None:
    """Parts of epochs are allowed, as are the ends of the ranges."""
    assert parse_job(scheduled(digits, schedule)).tasks["digit"].kind == "train"
