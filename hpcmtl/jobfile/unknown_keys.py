"""Words for a key that its section of the job file does not have: what is meant, or where the key belongs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hpcmtl.errors import close_to, nearest, usual_name
from hpcmtl.jobfile.transforms import READY_MADE

if TYPE_CHECKING:
    from collections.abc import Collection

_OPTIMIZER = "optimizer"
_OF_OPTIMIZER = frozenset({"learning_rate", "weight_decay", "schedule", "clip_norm"})
"""Keys of `optimizer` that users look for in a task."""
_ARGUMENTS = frozenset(
    (
        *("momentum", "nesterov", "dampening", "betas", "beta1", "beta2", "eps", "epsilon", "amsgrad", "alpha", "rho"),
        *("centered", "lr_decay", "clip_gradient", "lazy_update", "maximize", "foreach", "fused"),
    )
)
"""Arguments of optimizers, which `options` takes."""


def unknown_key(key: str, value: Any, valid: Collection[str], home: str | None = None) -> str:
    """Returns the message for a key.

    Args:
        key: the key, which is not among the valid ones.
        value: its value.
        valid: keys that its section has.
        home: the place to which the key belongs, if one is known.
    """
    text = f"unknown key {key!r}"
    if {"options", "learning_rate"} <= set(valid) and (key in _ARGUMENTS or close_to(key, valid) is None):
        return f"{text}; arguments of the optimizer's own are under `options`: write `options: {_mapping(key, value)}`"
    if _OPTIMIZER in valid and key in _ARGUMENTS:
        return f"{text}; it belongs to `optimizer`: write `options: {_mapping(key, value)}` there"
    if _OPTIMIZER in valid and usual_name(key) in _OF_OPTIMIZER:
        return f"{text}; it belongs to `optimizer`: write `{usual_name(key)}: {_in_yaml(value)}` there"
    if {"name", "options"} <= set(valid) and _is_argument(value) and close_to(key, valid) is None:
        return f"{text}; options are under `options`: write `options: {_mapping(key, value)}`"
    if "transform" in valid and key in READY_MADE:
        return f"{text}; it is a transform: write `transform: [{key}]`"
    return f"{text}; it belongs to {home}" if home is not None else f"{text}{nearest(key, valid)}"


def _is_argument(value: Any) -> bool:
    """Tells whether a value is that of an option: a name or a switch may be a name in the wrong form."""
    return value is not None and not isinstance(value, bool | str)


def _mapping(key: str, value: Any) -> str:
    return f"{{{key}: {_in_yaml(value)}}}"


def _in_yaml(value: Any) -> str:
    """Returns a value in JSON, which is YAML as well."""
    return json.dumps(value, default=str)
