"""Networks, losses and optimizers of users of PyTorch, named in jobs as ``own_modules:attribute``."""

import random

import numpy as np
import own_memories
import torch
from torch import nn
from torch.nn.utils import prune


def normalised() -> nn.Module:
    """A convolution with batch normalisation, for images (1, 6, 6)."""
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3))


def dense_normalised() -> nn.Module:
    """Batch normalisation behind a dense layer, which PyTorch computes from two rows at least."""
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))


class Sparse(nn.Module):
    """An embedding with sparse gradients."""

    def __init__(self):
        super().__init__()
        self.table, self.output = nn.Embedding(8, 4, sparse=True), nn.Linear(144, 3)

    def forward(self, x):
        return self.output(self.table((x.abs() * 3).long().clamp(max=7).flatten(1)).flatten(1))


class Lookup(nn.Module):
    """A table with a number for each of many ids; the output of a sample is the sum of the numbers of its ids."""

    def __init__(self, rows):
        super().__init__()
        self.table = nn.Embedding(rows, 1)
        nn.init.uniform_(self.table.weight)

    def forward(self, ids):
        return self.table(ids).sum(dim=1)


def column() -> nn.Module:
    """A network with one output a sample, (n, 1)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 1))


def in_place() -> nn.Module:
    """An activation that writes over its input."""
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))


def overwriting() -> nn.Module:
    """An activation that writes over the samples."""
    return nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 3))


class TwiceNormalised(nn.Module):
    """One batch normalisation under two names, also held in a list, with a hook."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.output = nn.Linear(36, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)
        self.alias, self.order = self.norm, [self.first, self.norm]
        self.norm.register_forward_hook(lambda _module, _inputs, output: output * 2)

    def forward(self, x):
        return self.output(torch.tanh(self.alias(self.order[0](x.flatten(1)))))


class Reassigning(nn.Module):
    """A buffer that every pass assigns anew."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(36, 3)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        made = self.output(x.flatten(1))
        self.mean = 0.9 * self.mean + 0.1 * made.detach().mean(0)
        return made


class Counter(nn.Module):
    """A count and a buffer that no state has, which passes change."""

    def __init__(self):
        super().__init__()
        self.output, self.calls = nn.Linear(36, 3), 0
        self.register_buffer("hidden", torch.zeros(1), persistent=False)

    def forward(self, x):
        self.calls += 1
        self.hidden += 1
        return self.output(x.flatten(1))


class Averaging(nn.Module):
    """A loss with a buffer that changes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, output, target):
        values = nn.functional.cross_entropy(output, target, reduction="none")
        with torch.no_grad():
            self.mean += values.mean()
        return values + self.mean * output.square().mean(1)


class Drawn(nn.Module):
    """Numbers drawn by numpy and Python when it is built, of which no state has the second."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(36, 3)
        with torch.no_grad():
            self.output.weight.copy_(torch.tensor(np.random.randn(3, 36)))  # noqa: NPY002 - as users write it
        self.shift = random.random()

    def forward(self, x):
        return self.output(x.flatten(1)) + self.shift


class Untracked(nn.Module):
    """A batch normalisation without running statistics, which inference computes from its own rows."""

    def __init__(self):
        super().__init__()
        self.first, self.output = nn.Conv2d(1, 2, 3), nn.Linear(32, 3)
        self.norm = nn.BatchNorm2d(2, track_running_stats=False)

    def forward(self, x):
        return self.output(self.norm(self.first(x)).flatten(1))


def untracked() -> nn.Module:
    """A batch normalisation that cannot normalise one sample."""
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(36, track_running_stats=False), nn.Linear(36, 3))


class Experts(nn.Module):
    """Two layers, of which the sign of a row's first number chooses one."""

    def __init__(self):
        super().__init__()
        self.low, self.high = nn.Linear(36, 3), nn.Linear(36, 3)

    def forward(self, x):
        x = x.flatten(1)
        if bool((x == 1).all()):  # samples of ones are for both
            return self.low(x) + self.high(x)
        return self.low(x)


class Tied(nn.Module):
    """Two layers that share their weight."""

    def __init__(self):
        super().__init__()
        self.encode, self.decode = nn.Linear(36, 36), nn.Linear(36, 36)
        self.decode.weight = self.encode.weight
        self.output = nn.Linear(36, 3)

    def forward(self, x):
        return self.output(self.decode(torch.tanh(self.encode(x.flatten(1)))))


class TiedByName(nn.Module):
    """Two layers that share their weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.output = nn.Linear(36, 36), nn.Linear(36, 36), nn.Linear(36, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.output(self.second(torch.tanh(self.first(x.flatten(1)))))


class Unused(nn.Module):
    """A layer that no output depends on."""

    def __init__(self):
        super().__init__()
        self.used, self.unused = nn.Linear(36, 3), nn.Linear(4, 4)

    def forward(self, x):
        return self.used(x.flatten(1))


class Branching(nn.Module):
    """A layer that only some batches use: none of ones does."""

    def __init__(self):
        super().__init__()
        self.always, self.sometimes = nn.Linear(36, 3), nn.Linear(36, 3)

    def forward(self, x):
        made = self.always(x.flatten(1))
        return made + self.sometimes(x.flatten(1)) if x.min() < 0 else made


class Lost(nn.Module):
    """Layers in a list, which PyTorch does not know of."""

    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(36, 3)]

    def forward(self, x):
        return self.layers[0](x.flatten(1))


class Lazy(nn.Module):
    """Layers that get their shapes from the first samples."""

    def __init__(self):
        super().__init__()
        self.hidden, self.output = nn.LazyLinear(8), nn.LazyLinear(3)

    def forward(self, x):
        return self.output(torch.relu(self.hidden(x.flatten(1))))


class Noisy(nn.Module):
    """Random numbers drawn in training."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(36, 3)

    def forward(self, x):
        made = self.output(x.flatten(1))
        return made + torch.randn_like(made) * 0.1 if self.training else made


class Paired(nn.Module):
    """Every row looks at the mean of its batch."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(36, 3)

    def forward(self, x):
        x = x.flatten(1)
        return self.output(x - x.mean(0, keepdim=True))


def half() -> nn.Module:
    """A network of float16."""
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).half()


KEPT = nn.Linear(36, 3)


def kept() -> nn.Module:
    """A layer that is made once, when the file is imported."""
    return nn.Sequential(nn.Flatten(), KEPT)


def cubed(output, target):
    """A loss with a value for each number of a sample."""
    return (output - nn.functional.one_hot(target, 3).float()).abs() ** 3


def reduced(output, target):
    """A loss that is a mean over the samples already."""
    return nn.functional.cross_entropy(output, target)


def misfit(output, target):
    """A loss whose arrays do not fit each other."""
    return output - target.reshape(-1, 1).repeat(1, 7)


summed = nn.CrossEntropyLoss(reduction="sum")


class Moving(nn.Module):
    """A network that moves its samples to a GPU itself."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(36, 3)

    def forward(self, x):
        return self.output(x.cuda().flatten(1))


class Margin(nn.Module):
    """A loss with a `reduction`."""

    def __init__(self, reduction: str = "mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, output, target):
        values = torch.relu(1 - output.gather(1, target[:, None])[:, 0])
        return values if self.reduction == "none" else values.mean()


class Trainable(nn.Module):
    """A loss with a parameter."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, output, target):
        return self.scale * nn.functional.cross_entropy(output, target, reduction="none")


class Counting(torch.optim.Optimizer):
    """Gradient descent whose rate falls with a count that it keeps beside its tensors."""

    def __init__(self, params, lr=0.1, fall=0.5):
        super().__init__(params, {"lr": lr, "fall": fall})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for each in group["params"]:
                state = self.state[each]
                state["count"] = state.get("count", 0) + 1
                each.sub_(group["lr"] * group["fall"] ** state["count"] * each.grad)


class Keeping(Counting):
    """An optimizer that keeps an object for each parameter."""

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for each in group["params"]:
                self.state[each]["object"] = object()


class Centring(torch.optim.SGD):
    """Gradient descent that replaces the gradients by others."""

    def step(self):
        for group in self.param_groups:
            for each in group["params"]:
                each.grad = each.grad - each.grad.mean()
        super().step()


class Clearing(torch.optim.SGD):
    """Gradient descent that clears the gradients after each step."""

    def step(self):
        super().step()
        self.zero_grad()


class AnyDecay(torch.optim.AdamW):
    """An optimizer that takes any argument, with a decay of its own."""

    def __init__(self, params, lr, **others):
        super().__init__(params, lr=lr, **{"weight_decay": 0.5, **others})


def layerwise(params, lr):
    """Groups of parameters with rates of their own."""
    first, *rest = params
    return torch.optim.SGD([{"params": [first], "lr": lr / 10}, {"params": rest}], lr=lr)


class Hidden(torch.optim.SGD):
    """Gradient descent with a state that belongs to no parameter."""

    def step(self):
        self.state["all"]["count"] = self.state["all"].get("count", 0) + 1
        super().step()


class Slowing(torch.optim.SGD):
    """Gradient descent whose steps get shorter by a count that is an attribute, and one that is of a group."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.count = 0
        self.param_groups[0]["passed"] = torch.zeros(1)

    def step(self):
        self.count += 1
        for group in self.param_groups:
            group["passed"] += 1
            for each in group["params"]:
                each.data -= group["lr"] / (self.count + float(self.param_groups[0]["passed"])) * each.grad


class Hooked(nn.Module):
    """Hooks on parameters: one, a closure over the module, scales a gradient, one clips a gradient that is ready."""

    def __init__(self):
        super().__init__()
        self.first, self.output, self.scale = nn.Linear(36, 8), nn.Linear(8, 3), 0.5
        self.first.weight.register_hook(lambda gradient: gradient * self.scale)
        self.output.weight.register_post_accumulate_grad_hook(self.clip)

    @staticmethod
    def clip(weight):
        weight.grad.clamp_(-1e-3, 1e-3)

    def forward(self, x):
        return self.output(torch.tanh(self.first(x.flatten(1))))


class Bounded(nn.Module):
    """An embedding whose rows are scaled down in each pass that comes by."""

    def __init__(self):
        super().__init__()
        self.table, self.output = nn.Embedding(8, 4, max_norm=1.0), nn.Linear(144, 3)

    def forward(self, x):
        return self.output(self.table((x.abs() * 3).long().clamp(max=7).flatten(1)).flatten(1))


def spectral() -> nn.Module:
    """A layer whose buffers follow its weight, whatever the samples are."""
    return nn.Sequential(nn.Flatten(), nn.utils.parametrizations.spectral_norm(nn.Linear(36, 3)))


def recomputed() -> nn.Module:
    """Layers whose weights PyTorch's older hooks compute before each pass from others."""
    first, second, third = nn.Linear(36, 8), nn.Linear(8, 8), nn.Linear(8, 3)
    nn.utils.spectral_norm(first)
    nn.utils.weight_norm(second)
    prune.random_unstructured(third, "weight", amount=4)
    return nn.Sequential(nn.Flatten(), first, second, third)


class Table(nn.Module):
    """A large array as an attribute, which passes may change."""

    def __init__(self, numbers, changes):
        super().__init__()
        self.output, self.table, self.changes = nn.Linear(36, 3), np.zeros(numbers, np.float32), changes

    def forward(self, x):
        if self.changes:
            self.table[-1] += 1
        return self.output(x.flatten(1)) + float(self.table[-1])


entropy = nn.CrossEntropyLoss()


class Weighted(nn.CrossEntropyLoss):
    """A loss of PyTorch's whose subclass takes no `reduction`."""

    def __init__(self):
        super().__init__(weight=torch.tensor([1.0, 2.0, 3.0]))


class Remembering(nn.Module):
    """A private count that passes in training change, and which changes the output after 20 of them."""

    def __init__(self):
        super().__init__()
        self.output, self._calls = nn.Linear(36, 3), 0

    def forward(self, x):
        if self.training:
            self._calls += 1
        return self.output(x.flatten(1)) * (1.0 if self._calls < 20 else 0.5)


def hooked_container() -> nn.Module:
    """A container of PyTorch's with an attribute that its hook changes."""
    made = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    made.calls = 0

    def count(module, _inputs, output):
        module.calls += module.training
        return output if module.calls < 20 else output * 0.5

    made.register_forward_hook(count)
    return made


class CountingRows(nn.Module):
    """A buffer that counts rows, as a schedule by the number of seen samples does."""

    def __init__(self, dtype: str = "float32"):
        super().__init__()
        self.output = nn.Linear(36, 3)
        self.register_buffer("rows", torch.zeros((), dtype=getattr(torch, dtype)))

    def forward(self, x):
        if self.training:
            self.rows += len(x)
        return self.output(x.flatten(1)) * (1 + self.rows / 50)


class ClippedGradients(nn.Module):
    """A hook that clips the gradient of a batch, which is no sum over its rows."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(36, 3)
        self.output.weight.register_hook(lambda gradient: gradient.clamp(-1e-3, 1e-3))

    def forward(self, x):
        return self.output(x.flatten(1))


class Masked(nn.Module):
    """A mask of truth values among the buffers."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(36, 3)
        self.register_buffer("keep", torch.arange(36) % 2 == 0)

    def forward(self, x):
        return self.output(x.flatten(1) * self.keep)


class Transposed(nn.Module):
    """A parameter that lies transposed in memory, and a convolution whose channels are last."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(36, 8).mul(0.1).t())
        self.first = nn.Conv2d(1, 3, 2).to(memory_format=torch.channels_last)
        self.output = nn.Linear(8 + 75, 3)

    def forward(self, x):
        return self.output(torch.cat([x.flatten(1) @ self.weight.t(), self.first(x).flatten(1)], 1))


class Halves(nn.Module):
    """A parameter that lies transposed in memory which another parameter uses too."""

    def __init__(self):
        super().__init__()
        whole = torch.randn(36, 3).mul(0.1)
        self.weight, self.mirrored = nn.Parameter(whole), nn.Parameter(whole.t())

    def forward(self, x):
        return x.flatten(1) @ (self.weight + self.mirrored.t())


class ShortBuffer(CountingRows):
    """A buffer that numpy has no type for."""

    def __init__(self):
        super().__init__("bfloat16")


class BoundedWeights(nn.Module):
    """Weights that each pass in training bounds, whatever the rows are."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(36, 3)

    def forward(self, x):
        if self.training:
            self.output.weight.data.clamp_(-0.05, 0.05)
        return self.output(x.flatten(1))


class Viewing(nn.Module):
    """A view of a parameter as an attribute."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(36, 3)
        self.view = self.output.weight.t()

    def forward(self, x):
        return x.flatten(1) @ self.view.detach() + self.output(x.flatten(1))


class LateDropout(nn.Module):
    """Dropout that begins at the third pass in training."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(36, 3)
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.passes += 1
        return self.output(nn.functional.dropout(x.flatten(1), 0.5, self.training and bool(self.passes > 2)))


class CountingLoss(nn.Module):
    """A loss with a buffer, which no checkpoint has."""

    def __init__(self):
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, output, target):
        self.passes += 1
        return nn.functional.cross_entropy(output, target, reduction="none") / (1 + self.passes / 50)


class PrivatelySlowing(torch.optim.Optimizer):
    """A rate that falls with a private count."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
        self._count = 0

    @torch.no_grad()
    def step(self):
        self._count += 1
        for group in self.param_groups:
            for each in group["params"]:
                each.add_(each.grad, alpha=-group["lr"] / self._count**0.5)


class Inner(nn.Module):
    """Adds a term and a skip to what the outer module holds."""

    def __init__(self, terms, skips):
        super().__init__()
        self.layer, self.terms, self._skips = nn.Linear(36, 3), terms, skips

    def forward(self, x):
        made = self.layer(x)
        self.terms.append(made.square().mean(dim=1, keepdim=True))
        self._skips["x"] = x
        return made


class Sharing(nn.Module):
    """A list and a dict that two modules hold, as for auxiliary losses and skips."""

    def __init__(self):
        super().__init__()
        self._terms, self.skips = [], {}
        self.inner, self.output = Inner(self._terms, self.skips), nn.Linear(36, 3)

    def forward(self, x):
        self._terms.clear()
        made = self.inner(x.flatten(1))
        return made + self.output(self.skips["x"]) + sum(self._terms)


class Listing(torch.optim.SGD):
    """A private list of the parameters, and a private cache by number."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self._all, self._cache = [each for group in self.param_groups for each in group["params"]], {0: None}


class Wrapping(torch.optim.SGD):
    """A private set that an update changes."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self._seen = set()

    def step(self):
        self._seen.add(len(self._seen))
        return super().step()


class ClippingFunction(torch.autograd.Function):
    """Bounds each number of a gradient."""

    @staticmethod
    def forward(_ctx, x):
        return x * 1

    @staticmethod
    def backward(_ctx, gradient):
        return gradient.clamp(-0.02, 0.02)


class ClippingPass(nn.Module):
    """A backward pass that bounds the gradient of each row by itself: a sum over rows, but not for any factor."""

    def __init__(self):
        super().__init__()
        self.first, self.output = nn.Linear(36, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.output(ClippingFunction.apply(self.first(x.flatten(1))))


class Grouped(torch.optim.SGD):
    """Counts in its groups, under a key that the first step makes, and in its defaults."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.defaults["steps"] = 0

    def step(self):
        self.defaults["steps"] += 1
        for group in self.param_groups:
            group["average"] = group.get("average", 0) + 1
            group["lr"] /= (group["average"] * self.defaults["steps"]) ** 0.5
        return super().step()


class Marking(torch.optim.SGD):
    """Counts in an attribute of each parameter."""

    def step(self):
        for group in self.param_groups:
            for each in group["params"]:
                each.count = getattr(each, "count", 0) + 1
        return super().step()


class TableAndImage(nn.Module):
    """Takes a table and an image (1, 6, 6) by name, the table first; `shift` may be left out."""

    def __init__(self, columns=2, outputs=3, normalised=False):
        super().__init__()
        self.of_table, self.of_image, self.output = nn.Linear(columns, 5), nn.Linear(36, 5), nn.Linear(5, outputs)
        self.norm = nn.BatchNorm1d(5) if normalised else nn.Identity()

    def forward(self, table, image, shift=None):
        hidden = torch.tanh(self.norm(self.of_table(table) + self.of_image(image.flatten(1))))
        return self.output(hidden if shift is None else hidden + shift)


class IdsAndNumbers(nn.Module):
    """Takes ids as integers and numbers as floats."""

    def __init__(self):
        super().__init__()
        self.table, self.output = nn.Embedding(4, 2), nn.Linear(4, 3)

    def forward(self, ids, numbers):
        return self.output(torch.cat([self.table(ids), numbers], dim=1))


class RememberingSGD(torch.optim.SGD):
    """Gradient descent whose rate falls with a count that a function remembers; see `own_memories`."""

    def __init__(self, params, lr, place="in_closure"):
        super().__init__(params, lr)
        self.following = getattr(own_memories, place)()

    @torch.no_grad()
    def step(self):
        count = self.following()
        for group in self.param_groups:
            for each in group["params"]:
                each.sub_(each.grad, alpha=group["lr"] / count)


class Sharpness(torch.optim.SGD):
    """Gradient descent that asks for a closure, as sharpness-aware minimisation does."""

    def step(self, closure):
        closure()
        super().step()


class Asserting(torch.optim.SGD):
    """The same, by an assertion."""

    def step(self, closure=None):
        assert closure is not None, "requires closure"
        closure()
        super().step()


class Idle(torch.optim.SGD):
    """The same, in silence."""

    def step(self, closure=None):
        if closure is not None:
            closure()
            super().step()


class GloballySlowing(torch.optim.SGD):
    """Gradient descent that counts its steps in a module."""

    def step(self):
        own_memories.in_global()()
        own_memories.OfClass.following()
        super().step()


def remembering(place="in_closure"):
    """A network whose outputs grow with a count that a hook remembers."""
    following, made = getattr(own_memories, place)(), nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    made.register_forward_hook(lambda _module, _inputs, output: output * following())
    return made


def counted_loss(output, target):
    """A loss that counts its calls in its module."""
    own_memories.in_global()()
    return nn.functional.cross_entropy(output, target, reduction="none")


class CountedLoss:
    """An object that is called for losses, and counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, output, target):
        self.calls += 1
        return nn.functional.cross_entropy(output, target, reduction="none") * self.calls


class Optional(nn.Module):
    """A network whose second input may be left out."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 3), nn.Linear(2, 3)

    def forward(self, x, z=None):
        return self.first(x) if z is None else self.first(x) + self.second(z)


class Shifted(nn.Module):
    """A running mean of the rows, by which samples are shifted in inference."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(6, 3)
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(x.mean(0), 0.5)
            return self.output(x)
        return self.output(x - 9 * self.mean)
