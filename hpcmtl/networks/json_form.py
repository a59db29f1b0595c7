"""Writes descriptions of networks as JSON values, and reads them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from hpcmtl.networks.description import Leaf, Part, Shared
from hpcmtl.networks.models import UserModel
from hpcmtl.networks.zoo import Model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpcmtl.networks.description import NetworkDescription

_MODEL: TypeAdapter[Any] = TypeAdapter(Model)


def network_to_json(network: NetworkDescription) -> dict[str, Any]:
    """Returns a network as a JSON value.

    Returns:
        ``{"model": ...}``, ``{"whole": ..., "part": ...}`` or ``{"trunk": ..., "heads": [[name, ...], ...]}``.
    """
    if isinstance(network, Leaf):
        return {"model": network.model.model_dump(mode="json")}
    if isinstance(network, Part):
        return {"whole": network_to_json(network.whole), "part": network.part}
    heads = [[name, network_to_json(head)] for name, head in network.heads]  # a list, since the order counts
    return {"trunk": network_to_json(network.trunk), "heads": heads}


def network_from_json(value: Mapping[str, Any]) -> NetworkDescription:
    """Returns the network that `network_to_json` wrote.

    Raises:
        ValueError: the value describes no network.
    """
    if "model" in value:
        return Leaf(_MODEL.validate_python(value["model"]))
    if "whole" in value:
        return Part(network_from_json(value["whole"]), str(value["part"]))
    if "trunk" in value:
        heads = tuple((str(name), network_from_json(head)) for name, head in value["heads"])
        return Shared(network_from_json(value["trunk"]), heads)
    raise ValueError(f"found {sorted(value)} where a network has `model`, `whole` or `trunk`")


def user_models(network: NetworkDescription) -> tuple[str, ...]:
    """Returns the references of the users' own models in a network, each once."""
    if isinstance(network, Leaf):
        return (network.model.name,) if isinstance(network.model, UserModel) else ()
    if isinstance(network, Part):
        return user_models(network.whole)
    parts = (network.trunk, *(head for _, head in network.heads))
    return tuple(dict.fromkeys(name for part in parts for name in user_models(part)))
