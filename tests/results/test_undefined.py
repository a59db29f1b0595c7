"""Numbers without a value stay so, with their reasons, from rank to rank, in checkpoints and in JSON."""

from __future__ import annotations

import json
import math
import pickle

from hpcmtl.results.strict_json import to_json
from hpcmtl.results.undefined import UndefinedValue, from_facts, from_nulls, reasons, to_facts, with_nulls

VALUES = {"auc": UndefinedValue("one class"), "loss": 0.5, "ratio": math.inf, "count": 2**60}


def test_json_has_null_and_the_reason():
    """A number that is not finite is null, a whole one stays whole."""
    text = to_json({"metrics": with_nulls(VALUES), "undefined": reasons(VALUES)})

    assert json.loads(text, parse_constant=lambda _: 1 / 0) == {
        "metrics": {"auc": None, "loss": 0.5, "ratio": None, "count": 2**60},
        "undefined": {"auc": "one class", "ratio": "the value is inf"},
    }
    back = from_nulls(with_nulls(VALUES), reasons(VALUES))
    assert back["auc"].reason == "one class"
    assert reasons(back) == reasons(VALUES)


def test_checkpoints_and_messages_keep_the_reason():
    """Facts of a checkpoint are strict JSON; ranks exchange pickled values."""
    facts = json.loads(json.dumps(to_facts(VALUES), allow_nan=False))

    assert reasons(from_facts(facts)) == reasons(VALUES)
    assert from_facts({"old": 0.25, "older": math.nan})["old"] == 0.25
    again = pickle.loads(pickle.dumps(VALUES["auc"]))  # noqa: S301 - our own
    assert math.isnan(again)
    assert again.reason == "one class"
