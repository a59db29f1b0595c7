"""Properties of task kinds by which rooms decide that know no kinds: plain values, carried by graph and plan."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class KindFacts:
    """Properties of a kind of task.

    Attributes:
        has_parameters: true if its artifact holds parameters, so that edges of kind `parameters` may begin at it.
        exchanges_parameters: true if it may take part in async edges and merges while it runs.
        has_learning_rate: true if a new learning rate can be ordered while it runs.
        stops_at_steps: true if a running layer can stop at any step with a checkpoint. The work of an unfinished layer
            of another kind is lost.
        runs_network: true if its tasks run the network of one task that they need, and take no other part of it.
    """

    has_parameters: bool = False
    exchanges_parameters: bool = False
    has_learning_rate: bool = False
    stops_at_steps: bool = False
    runs_network: bool = False


NO_FACTS = KindFacts()
