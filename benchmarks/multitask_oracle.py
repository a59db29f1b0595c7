"""Writes the weights and updates of TorchJD 0.18 for fixed inputs, with which the tests compare ours.

usage: python benchmarks/multitask_oracle.py [--out tests/training/multitask/torchjd_vectors.json]

It needs `pip install torchjd==0.18.0 cvxpy clarabel ecos qpsolvers quadprog scipy` beside PyTorch; the tests need the
file alone. TorchJD draws its random numbers from PyTorch: here it gets ours. Solvers are asked for more digits than
TorchJD asks them for: with its own settings the weights of CAGrad are right to 1e-4, and those of Nash-MTL to 1e-5.
"""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import cvxpy
import numpy as np
import torch
from torchjd import aggregation, scalarization

from hpcmtl.training.multitask.shards.graddrop import coordinate_numbers
from hpcmtl.training.multitask.weightings.random_stream import orders_of_others, step_generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OUT = Path(__file__).resolve().parent.parent / "tests/training/multitask/torchjd_vectors.json"
PACKAGES = ("torchjd", "torch", "cvxpy", "clarabel", "ecos", "qpsolvers", "quadprog", "scipy")
SEED = 7
DIGITS = {
    "CLARABEL": {"tol_gap_abs": 1e-14, "tol_gap_rel": 1e-14, "tol_feas": 1e-14},
    "ECOS": {"abstol": 1e-13, "reltol": 1e-13, "feastol": 1e-13},
}
PENDING: dict[str, list[Any]] = {"orders": [], "uniform": [], "normal": []}


def matrices() -> list[list[list[float]]]:
    """Returns matrices of gradients: random ones with common parts and unequal norms, and singular ones."""
    random = np.random.default_rng(SEED)
    found = []
    for rows in (2, 2, 3, 3, 5, 10):
        matrix = random.normal(size=(rows, rows + 3)) + random.normal() * random.normal(size=rows + 3)
        found.append(matrix * np.exp(random.normal(size=(rows, 1))))
    twice = random.normal(size=(3, 4))
    found += [twice[[0, 1, 0]], random.normal(size=(5, 3))]
    return [matrix.round(3).tolist() for matrix in found]


MATRICES = matrices()
REGULAR, ALL = range(6), range(len(MATRICES))


def tensor(values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gramian(place: int) -> torch.Tensor:
    rows = tensor(MATRICES[place])
    return rows @ rows.T


@contextmanager
def our_numbers() -> Iterator[None]:
    """Gives TorchJD the random numbers that are pending, and its solvers more digits."""
    solve = cvxpy.Problem.solve

    def with_digits(problem: Any, *given: Any, **named: Any) -> Any:
        name = str(given[0] if given else named.get("solver"))
        return solve(problem, *given, **named, **DIGITS[name])

    with ExitStack() as stack:
        for name, kind in (("randperm", "orders"), ("rand", "uniform"), ("randn", "normal")):
            take = mock.Mock(side_effect=lambda *_, kind=kind, **__: PENDING[kind].pop(0))
            stack.enter_context(mock.patch.object(torch, name, take))
        stack.enter_context(mock.patch.object(cvxpy.Problem, "solve", with_digits))
        yield


def of_gramians(method: str, options: dict[str, Any], weighting: Any, places: Any) -> list[dict[str, Any]]:
    """Returns a case for each matrix, of a weighting without a state."""
    return [
        {
            "method": method,
            "options": options,
            "steps": [{"rows": place}],
            "weights": [weighting(gramian(place)).tolist()],
        }
        for place in places
    ]


def deterministic() -> list[dict[str, Any]]:
    """Returns the cases of weightings by Gramians that draw nothing and have no state."""
    same = {"regularisation": 1e-4, "least_trace": 1e-4}
    cases = of_gramians("upgrad", same, aggregation.UPGradWeighting(), ALL)
    cases += of_gramians("dualproj", same, aggregation.DualProjWeighting(), ALL)
    cases += of_gramians("mgda", {"solver": "frank_wolfe"}, aggregation.MGDAWeighting(), ALL)
    cases += of_gramians("mgda", {}, aggregation.MGDAWeighting(), (0, 1))
    cases += of_gramians("imtl_g", {}, aggregation.IMTLGWeighting(), REGULAR)
    for scale in ("min", "median", "rmse"):
        cases += of_gramians("aligned_mtl", {"scale": scale}, aggregation.AlignedMTLWeighting(scale_mode=scale), ALL)
    for c in (0.1, 0.4, 0.9):
        cases += of_gramians("cagrad", {"c": c}, aggregation.CAGradWeighting(c=c), REGULAR)
    for alpha in (0.5, 1.0, 2.0):
        cases += of_gramians("fairgrad", {"alpha": alpha}, aggregation.FairGradWeighting(alpha=alpha), REGULAR)
    for place in REGULAR:
        rows = tensor(MATRICES[place])
        for limit in (0.0, 1.0):
            nash = aggregation.NashMTL(len(rows), max_norm=limit, optim_niter=200).weighting
            step = {"method": "nash_mtl", "options": {"max_norm": limit}, "steps": [{"rows": place}]}
            cases.append({**step, "weights": [nash(rows).tolist()]})
    return cases


def of_rows() -> list[dict[str, Any]]:
    """Returns the cases whose update is compared: coordinate by coordinate, or of a combination of rows."""
    cases = []
    for place in ALL:
        rows = tensor(MATRICES[place])
        kinds: list[tuple[str, dict[str, Any], Callable[[torch.Tensor], torch.Tensor]]] = [
            ("config", {}, aggregation.ConFIG()),
            ("trimmed_mean", {"trim": (len(rows) - 1) // 2}, aggregation.TrimmedMean((len(rows) - 1) // 2)),
            ("graddrop", {}, aggregation.GradDrop()),
            ("graddrop", {"leak": [0.25] * len(rows)}, aggregation.GradDrop(leak=tensor([0.25] * len(rows)))),
        ]
        for method, options, aggregate in kinds:
            PENDING["uniform"] = [tensor(coordinate_numbers(SEED, 0, 0, rows.shape[1]))]
            update = aggregate(rows).tolist()
            cases.append({"method": method, "options": options, "steps": [{"rows": place}], "updates": [update]})
    return cases


def random_ones() -> list[dict[str, Any]]:
    """Returns the cases of weightings that draw orders or weights."""
    cases = []
    for place in ALL:
        count = len(MATRICES[place])
        orders = [orders_of_others(step_generator(SEED, step), count) for step in range(2)]
        PENDING["orders"] = [torch.tensor(row) for order in orders[:1] for row in order]
        cases += of_gramians("pcgrad", {}, aggregation.PCGradWeighting(), [place])
        # GradVac's orders are of the others, counted without the objective itself.
        PENDING["orders"] = [
            torch.tensor([other - (other > own) for other in row]) for order in orders for own, row in enumerate(order)
        ]
        scale = float(gramian(place).diagonal().max())  # our small number is relative to the longest gradient
        vaccine = aggregation.GradVacWeighting()
        weights = [vaccine(gramian(place) / scale).tolist() for _ in range(2)]
        cases.append({"method": "gradvac", "options": {}, "steps": [{"rows": place}] * 2, "weights": weights})
    PENDING["normal"] = [tensor(step_generator(SEED, step).standard_normal(3)) for step in range(3)]
    drawn = aggregation.RandomWeighting()
    weights = [drawn(tensor(MATRICES[2])).tolist() for _ in range(3)]
    return [*cases, {"method": "rlw", "options": {}, "steps": [{"rows": 2}] * 3, "weights": weights}]


def stateful() -> list[dict[str, Any]]:
    """Returns the cases of weightings by gradients whose state carries over."""
    pairs = [(2, 3), (3, 2), (2, 3), (3, 3)]
    steps = [{"rows": one, "other_rows": other} for one, other in pairs]
    rate = {"learning_rate": 10.0}  # of the published program
    kinds = [("modo", {}, aggregation.MoDoWeighting()), ("sdmgrad", rate, aggregation.SDMGradWeighting())]
    cases = []
    for method, options, weighting in kinds:
        weights = [weighting(tensor(MATRICES[one]) @ tensor(MATRICES[other]).T).tolist() for one, other in pairs]
        cases.append({"method": method, "options": options, "steps": steps, "weights": weights})
    for warmup in (0, 2):
        excess = aggregation.ExcessMTLWeighting(0.5, warmup)
        weights = [excess(tensor(MATRICES[one])).tolist() for one, _ in pairs]
        options = {"learning_rate": 0.5, "warmup": warmup}
        rows = [{"rows": one} for one, _ in pairs]
        cases.append({"method": "excess_mtl", "options": options, "steps": rows, "weights": weights})
    return cases


def of_losses() -> list[dict[str, Any]]:
    """Returns the cases of scalarisers: the weights are the gradient of their result by the losses."""
    losses = (0.2 + 3 * np.random.default_rng(SEED).random((7, 3))).round(3)
    current = [{"current_losses": row} for row in losses.tolist()]
    stch = scalarization.STCH(0.3, weights=tensor([0.2, 0.3, 0.5]), reference=tensor([0.1, 0.0, -0.2]))
    options = {"mu": 0.3, "preferences": [0.2, 0.3, 0.5], "reference": [0.1, 0.0, -0.2]}
    cases = [
        {"method": "gls", "options": {}, "steps": current, "weights": slopes(scalarization.GeometricMean(), losses)},
        {"method": "stch", "options": options, "steps": current, "weights": slopes(stch, losses)},
    ]
    before = [{}, *({"losses": row} for row in losses.tolist())][: len(losses)]
    for method, make in (("uncertainty", scalarization.UW), ("imtl_l", scalarization.IMTLL)):
        for update, optimizer in (("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)):
            scalariser = make(3).double()
            weights = slopes(scalariser, losses, optimizer(scalariser.parameters(), lr=0.05))
            options = {"update": update, "learning_rate": 0.05}
            cases.append({"method": method, "options": options, "steps": before, "weights": weights})
    return [*cases, dwa(losses), famo(losses)]


def slopes(scalariser: Any, losses: np.ndarray[Any, Any], optimizer: Any = None) -> list[list[float]]:
    """Returns the weights of each step; the parameters of the scalariser take a step after each."""
    found = []
    for row in losses:
        values = tensor(row).requires_grad_()
        if optimizer is not None:
            optimizer.zero_grad()
        scalariser(values).backward()
        found.append(values.grad.tolist())
        if optimizer is not None:
            optimizer.step()
    return found


def dwa(losses: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Returns a case with epochs of two steps."""
    scalariser = scalarization.DWA(1.5)
    weights, steps = [], []
    for number, row in enumerate(losses):
        if number and number % 2 == 0:
            scalariser.step()
        steps.append({"epoch": number // 2} | ({"losses": losses[number - 1].tolist()} if number else {}))
        weights += slopes(scalariser, row[None])
    return {"method": "dwa", "options": {"temperature": 1.5}, "steps": steps, "weights": weights}


def famo(losses: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Returns a case in which the losses after an update are those of the next row, times 0.9."""
    bounds = [0.05, 0.0, -0.1]
    scalariser = scalarization.FAMO(3, min_losses=tensor(bounds), lr=0.1, weight_decay=0.01).double()
    weights, steps = [], []
    for number, row in enumerate(losses):
        after = (0.9 * row).tolist()
        steps.append({"current_losses": row.tolist()})
        if number:
            steps[-1]["losses_after"] = (0.9 * losses[number - 1]).tolist()
        weights += slopes(scalariser, row[None])
        scalariser.update(tensor(after))
    options = {"learning_rate": 0.1, "weight_decay": 0.01, "least_losses": bounds}
    return {"method": "famo", "options": options, "steps": steps, "weights": weights}


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    with our_numbers():
        cases = [*deterministic(), *of_rows(), *random_ones(), *stateful(), *of_losses()]
    provenance = {name: version(name) for name in PACKAGES}
    content = {"command": "python benchmarks/multitask_oracle.py", "versions": provenance, "seed": SEED}
    lines = ",\n".join(json.dumps(case) for case in cases)
    head = json.dumps({**content, "matrices": MATRICES})[:-1]
    given.out.write_text(f'{head}, "cases": [\n{lines}\n]}}\n')
    print(f"{len(cases)} cases of {len({case['method'] for case in cases})} methods in {given.out}")


if __name__ == "__main__":
    main()
