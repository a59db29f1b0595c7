"""Time of a step on one rank, and bytes that a rank sends among four, by how gradients of objectives are measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.training.frameworks import open_framework
from multitasking.problem import measured_by, replica_by, share_of, step_inputs
from multitasking.steps import NETWORKS, QUICK_ROUNDS, ROUNDS, ROWS, STEPS, medians

if TYPE_CHECKING:
    import numpy as np

    from hpcmtl.communicators.base import Communicator

COUNT, RANKS, EVERY, NETWORK = 10, 4, 10, "mlp"
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "sum of losses": ("equal", {}),
    "whole gradients": ("nash_mtl", {}),
    f"every: {EVERY}": ("nash_mtl", {"every": EVERY}),
    "gradients_at: last_shared_layer": ("nash_mtl", {"gradients_at": "last_shared_layer"}),
    "gradients_at: features": ("nash_mtl", {"gradients_at": "features"}),
    "biased: true": ("nash_mtl", {"biased": True}),
    "halves of the batch": ("modo", {}),
}


class CountingCommunicator:
    """A communicator that counts the bytes which its rank has to send in the best known collectives."""

    def __init__(self, inner: Communicator) -> None:
        self.inner, self.sent = inner, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def Allreduce(self, array: np.ndarray[Any, Any], op: Any = "sum") -> None:  # noqa: N802 - as in the seam
        """Sends twice the share of the others."""
        self.sent += 2 * array.nbytes * (self.inner.size - 1) / self.inner.size
        self.inner.Allreduce(array, op)

    def Reduce_scatter_block(self, array: np.ndarray[Any, Any], block: np.ndarray[Any, Any]) -> None:  # noqa: N802
        """Sends the shares of the others."""
        self.sent += array.nbytes - block.nbytes
        self.inner.Reduce_scatter_block(array, block)

    def Allgather(self, array: np.ndarray[Any, Any], whole: np.ndarray[Any, Any]) -> None:  # noqa: N802
        """Sends its share to the others."""
        self.sent += array.nbytes * (self.inner.size - 1)
        self.inner.Allgather(array, whole)


def replica(group: Any, library: str, way: str) -> Any:
    """Returns a replica that measures gradients in a way."""
    name, measuring = WAYS[way]
    trunk, shape = NETWORKS[NETWORK]
    return measured_by(replica_by(name, library, trunk, shape, COUNT, group=group), name, COUNT, measuring)


def bytes_sent(group: Communicator, library: str, way: str) -> float:
    """Returns the mean bytes of a step that this rank sends, over one renewal and the steps up to the next."""
    counting = CountingCommunicator(group)
    made = replica(counting, library, way)
    batch = step_inputs(NETWORKS[NETWORK][1], COUNT, [ROWS])[0]
    counting.sent = 0.0
    for number in range(EVERY):
        made.step(share_of(batch, group.rank, group.size), 0.01, number)
    found = counting.sent / EVERY
    made.close()
    return found


def programs(library: str) -> dict[str, Any]:
    """Returns a function for a step of each way that a framework has."""
    places = {"shared", "features"} | ({"last_shared_layer"} if library == "torch" else set())
    batches = step_inputs(NETWORKS[NETWORK][1], COUNT, [ROWS] * 4)
    found = {}
    for way, (_, measuring) in WAYS.items():
        if measuring.get("gradients_at", "shared") not in places:
            continue
        (made,) = run_ranks(1, replica, library, way)

        def step(number: int, made: Any = made) -> None:
            made.step(batches[number % len(batches)], 0.01, number)
            if number == STEPS - 1:
                made.collect_losses()

        found[way] = step
    return found


def run(quick: bool) -> tuple[dict[str, Any], bool]:
    """Prints the table; returns all numbers. There is no bar."""
    found: dict[str, Any] = {}
    print(f"{COUNT} objectives, {NETWORK}, a batch of {ROWS}; bytes of the first of {RANKS} ranks\n")
    print("| framework | way | ms | of a sum | MB a step |\n" + "|---" * 5 + "|")
    for library in ("torch", "gluon"):
        open_framework(library)
        times = medians(programs(library), QUICK_ROUNDS if quick else ROUNDS)
        for way, each in times.items():
            sent = run_ranks(RANKS, bytes_sent, library, way)[0] / 1e6
            found[f"{library} {way}"] = {"milliseconds": each, "megabytes": sent}
            ratio = each / times["sum of losses"]
            print(f"| {library} | {way} | {each:.2f} | {ratio:.2f} | {sent:.2f} |", flush=True)
    return found, True
