"""Writes descriptions of networks as JSON values, and reads them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from hpcmtl.networks.architectures.choice import BranchingChoice
from hpcmtl.networks.coupled_heads import HeadInputs
from hpcmtl.networks.description import Branches, Leaf, Part, Shared
from hpcmtl.networks.models import UserModel
from hpcmtl.networks.zoo import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.networks.description import NetworkDescription

_MODEL: TypeAdapter[Any] = TypeAdapter(Model)
_ARCHITECTURE: TypeAdapter[Any] = TypeAdapter(BranchingChoice)


def network_to_json(network: NetworkDescription) -> dict[str, Any]:
    """Returns a network as a JSON value.

    Returns:
        ``{"model": ...}``, ``{"whole": ..., "part": ...}``, ``{"trunk": ..., "heads": [[name, ...], ...]}``, with
        ``"inputs"`` of heads that take outputs of other heads, or
        ``{"copied": ..., "heads": [name, ...], "architecture": ...}``.
    """
    if isinstance(network, Leaf):
        return {"model": network.model.model_dump(mode="json")}
    if isinstance(network, Part):
        return {"whole": network_to_json(network.whole), "part": network.part}
    if isinstance(network, Branches):
        made = _ARCHITECTURE.dump_python(network.architecture, mode="json")
        return {"copied": network_to_json(network.trunk), "heads": list(network.heads), "architecture": made}
    heads = [[name, network_to_json(head)] for name, head in network.heads]  # a list, since the order counts
    inputs = [[name, {"names": list(each.names), "gradient": each.gradient}] for name, each in network.inputs]
    return {"trunk": network_to_json(network.trunk), "heads": heads, **({"inputs": inputs} if inputs else {})}


def network_from_json(value: Mapping[str, Any]) -> NetworkDescription:
    """Returns the network that `network_to_json` wrote.

    Raises:
        ValueError: the value describes no network.
    """
    if "model" in value:
        return Leaf(_MODEL.validate_python(value["model"]))
    if "whole" in value:
        return Part(network_from_json(value["whole"]), str(value["part"]))
    if "copied" in value:
        heads = tuple(map(str, value["heads"]))
        made = _ARCHITECTURE.validate_python(value["architecture"])
        return Branches(network_from_json(value["copied"]), heads, made)
    if "trunk" in value:
        pairs = tuple((str(name), network_from_json(head)) for name, head in value["heads"])
        inputs = tuple((str(name), _inputs_from_json(each)) for name, each in value.get("inputs", ()))
        return Shared(network_from_json(value["trunk"]), pairs, inputs)
    raise ValueError(f"found {sorted(value)} where a network has `model`, `whole`, `copied` or `trunk`")


def _inputs_from_json(value: Mapping[str, Any]) -> HeadInputs:
    if value["gradient"] not in {"pass", "stop"}:
        raise ValueError(f"found the gradient {value['gradient']!r} where a head has pass or stop")
    return HeadInputs(tuple(map(str, value["names"])), value["gradient"])


def user_models(network: NetworkDescription) -> tuple[str, ...]:
    """Returns the references of the users' own models in a network, each once."""
    if isinstance(network, Leaf):
        return (network.model.name,) if isinstance(network.model, UserModel) else ()
    if isinstance(network, Part):
        return user_models(network.whole)
    trunks = network.networks if isinstance(network, Branches) else (network.trunk,)
    heads = () if isinstance(network, Branches) else tuple(head for _, head in network.heads)
    parts = (*trunks, *heads)
    return tuple(dict.fromkeys(name for part in parts for name in user_models(part)))
