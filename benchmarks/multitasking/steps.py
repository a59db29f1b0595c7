"""Time of a training step with whole gradients of objectives, on one rank, beside plain programs of the frameworks."""

from __future__ import annotations

import importlib.util
import statistics
import time
from typing import TYPE_CHECKING, Any

from hpcmtl.communicators.inproc import run_ranks
from hpcmtl.networks.models import ConvNet, Mlp
from multitasking.problem import replica_by, step_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

METHOD, ROWS = "upgrad", 64
NETWORKS = {
    "mlp": (Mlp(widths=(256,), outputs=128), (784,)),
    "convnet": (ConvNet(channels=(16, 32), outputs=64), (1, 28, 28)),
}
COUNTS, QUICK_COUNTS = (3, 10), (3,)
TORCHJD_BAR, GLUON_BAR = 0.65, 1.05
ROUNDS, QUICK_ROUNDS, STEPS = 15, 3, 10


def milliseconds(programs: Mapping[str, Callable[[int], None]], rounds: int) -> dict[str, list[float]]:
    """Returns the milliseconds of a step of each program, round by round; the programs take turns."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, program in programs.items():
            start = time.perf_counter()
            for step in range(STEPS):
                program(step)
            if number:  # the first round warms up
                times[name].append((time.perf_counter() - start) / STEPS * 1e3)
    return times


def medians(programs: Mapping[str, Callable[[int], None]], rounds: int) -> dict[str, float]:
    """Returns the median of the milliseconds of a step of each program; the programs take turns."""
    return {name: statistics.median(each) for name, each in milliseconds(programs, rounds).items()}


def ours(library: str, network: str, count: int) -> tuple[Any, list[Any], Callable[[int], None]]:
    """Returns our learner, the batches, and our step."""
    trunk, shape = NETWORKS[network]
    batches = step_inputs(shape, count, [ROWS] * 4)
    (replica,) = run_ranks(1, lambda group: replica_by(METHOD, library, trunk, shape, count, group=group))

    def step(number: int) -> None:
        replica.step(batches[number % len(batches)], 0.01, number)
        if number == STEPS - 1:
            replica.collect_losses()

    return replica.learner, batches, step


def torch_programs(network: str, count: int) -> dict[str, Callable[[int], None]]:
    """Returns our step, that of TorchJD if it is installed, and the plain step of the sum of the losses."""
    import torch

    torch.set_num_threads(1)
    _, _, step = ours("torch", network, count)
    module = ours("torch", network, count)[0].module
    for parameter in module.parameters():
        parameter.grad = None
    heads, shared = list(module.heads.children()), list(module.trunk.parameters())
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    batches = [
        (torch.from_numpy(each.inputs["input"]), [torch.from_numpy(target) for target in each.targets])
        for each in step_inputs(NETWORKS[network][1], count, [ROWS] * 4)
    ]

    def losses(number: int) -> tuple[Any, list[Any]]:
        inputs, targets = batches[number % len(batches)]
        features = module.trunk(inputs)
        pairs = zip(heads, targets, strict=True)
        return features, [torch.nn.functional.cross_entropy(head(features), target) for head, target in pairs]

    def plain(number: int) -> None:
        _, found = losses(number)
        optimizer.zero_grad()
        sum(found).backward()
        optimizer.step()

    programs = {"ours": step, "plain sum": plain}
    if importlib.util.find_spec("torchjd") is not None:
        programs["torchjd"] = _torchjd(losses, optimizer, shared)
    return programs


def _torchjd(
    losses: Callable[[int], tuple[Any, list[Any]]], optimizer: Any, shared: list[Any]
) -> Callable[[int], None]:
    """Returns the step of TorchJD.

    Args:
        losses: function that returns the output of the trunk and the losses of a batch.
        optimizer: optimizer of all parameters.
        shared: parameters of the trunk.
    """
    from torchjd.aggregation import UPGrad
    from torchjd.autojac import jac_to_grad, mtl_backward

    aggregator = UPGrad()

    def step(number: int) -> None:
        features, found = losses(number)
        optimizer.zero_grad()
        mtl_backward(found, features=features)
        jac_to_grad(shared, aggregator)
        optimizer.step()

    return step


def gluon_programs(network: str, count: int) -> dict[str, Callable[[int], None]]:
    """Returns our step, and one forward pass with as many plain backward passes as there are objectives."""
    from hpcmtl.training.gluon.compat import import_mxnet

    mx = import_mxnet()
    _, _, step = ours("gluon", network, count)
    learner, batches, _ = ours("gluon", network, count)
    block, loss = learner.block, mx.gluon.loss.SoftmaxCrossEntropyLoss()
    loss.hybridize(static_alloc=True)
    given = [(mx.nd.array(each.inputs["input"]), [mx.nd.array(target) for target in each.targets]) for each in batches]
    trainer = mx.gluon.Trainer(block.collect_params(), "sgd", {"learning_rate": 0.01}, kvstore=None)

    def plain(number: int) -> None:
        inputs, targets = given[number % len(given)]
        with mx.autograd.record():
            losses = [loss(output, target) for output, target in zip(block(inputs), targets, strict=True)]
        for place, each in enumerate(losses):
            each.backward(retain_graph=place + 1 < len(losses))
        trainer.step(ROWS)
        if number == STEPS - 1:
            mx.nd.waitall()

    return {"ours": step, "plain backward passes": plain}


def run(quick: bool) -> tuple[dict[str, Any], bool]:
    """Prints the table; returns all numbers, and whether all are below the bars."""
    found: dict[str, Any] = {}
    rounds = QUICK_ROUNDS if quick else ROUNDS
    print("| framework | network | objectives | ours, ms | other program | ms | ratio | bar |\n" + "|---" * 8 + "|")
    good = True
    for count in QUICK_COUNTS if quick else COUNTS:
        for network in NETWORKS:
            for library, programs, bars in (
                ("torch", torch_programs, {"torchjd": TORCHJD_BAR}),
                ("gluon", gluon_programs, {"plain backward passes": GLUON_BAR}),
            ):
                times = milliseconds(programs(network, count), rounds)
                middle = {name: statistics.median(each) for name, each in times.items()}
                found[f"{library} {network} {count}"] = middle
                for name in sorted(times.keys() - {"ours"}):
                    # Pair by pair: a drift of the machine's speed cancels.
                    ratio = statistics.median(
                        mine / other for mine, other in zip(times["ours"], times[name], strict=True)
                    )
                    bar = bars.get(name) if count == QUICK_COUNTS[0] else None
                    good &= bar is None or ratio <= bar
                    found[f"{library} {network} {count}"] |= {f"ours / {name}": ratio}
                    row = [
                        library,
                        network,
                        count,
                        f"{middle['ours']:.2f}",
                        name,
                        f"{middle[name]:.2f}",
                        f"{ratio:.2f}",
                    ]
                    print("| " + " | ".join(map(str, [*row, bar or ""])) + " |", flush=True)
    return found, good
