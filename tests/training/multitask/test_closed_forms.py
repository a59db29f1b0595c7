"""Weightings that TorchJD lacks or solves in another way equal closed forms, scipy, or a plain loop of PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize, nnls, root
from weighting_steps import made, weights_for

from hpcmtl.errors import TaskFailedError
from hpcmtl.training.multitask.solvers.fair_point import fair_point
from hpcmtl.training.multitask.solvers.nonnegative import BoundedQuadratic
from hpcmtl.training.multitask.solvers.simplex import project_on_simplex
from hpcmtl.training.multitask.weighting import ObjectiveMeasurements

torch = pytest.importorskip("torch")
RANDOM = np.random.default_rng(3)
WIDE = [RANDOM.normal(size=(count, count + 2)) + RANDOM.normal(size=count + 2) for count in (2, 3, 6, 12)]
LOSSES = 0.5 + RANDOM.random((6, 3))
ROWS = RANDOM.normal(size=(6, 3, 5)) * [[1.0], [30.0], [0.1]]


@pytest.mark.parametrize("rows", WIDE, ids=len)
def test_mgda_is_the_shortest_vector(rows):
    """The convex combination has products of at least its squared norm with all gradients, which no longer one has."""
    found = weights_for("mgda", rows @ rows.T)
    update = found @ rows

    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1)
    assert (rows @ update >= update @ update * (1 - 1e-7)).all()


@pytest.mark.parametrize("norms", [(1.0, 1.0), (3.0, 0.5)])
@pytest.mark.parametrize("cosine", [-0.9, 0.0, 0.6])
def test_nash_mtl_for_two_objectives(cosine, norms):
    """The closed form for two objectives is 1 / (norm sqrt(1 + cosine))."""
    gramian = np.outer(norms, norms) * [[1, cosine], [cosine, 1]]

    expected = 1 / (np.array(norms) * np.sqrt(1 + cosine))
    np.testing.assert_allclose(weights_for("nash_mtl", gramian, max_norm=0), expected, rtol=1e-7)


@pytest.mark.parametrize("power", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("rows", WIDE, ids=len)
def test_the_fair_point_is_the_root_of_scipy(rows, power):
    """Newton's method finds the root that scipy finds from the solution."""
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    factors = 10.0 ** np.linspace(-2, 2, len(rows))
    found = fair_point(units @ units.T, factors, power)
    other = root(lambda z: np.log(units @ units.T @ np.exp(z)) + power * z - np.log(factors), np.log(found), tol=1e-12)

    np.testing.assert_allclose(found, np.exp(other.x), rtol=1e-7)
    np.testing.assert_allclose(units @ units.T @ found, factors * found**-power, rtol=1e-6)


@pytest.mark.parametrize("rows", WIDE[:3], ids=len)
def test_cagrad_is_the_optimum_of_scipy(rows):
    """No update within the radius helps the worst objective more, as far as scipy finds one."""
    mean, c = rows.mean(axis=0), 0.5
    radius = c * np.linalg.norm(mean)
    found = weights_for("cagrad", rows @ rows.T, c=c) @ rows
    rises = LinearConstraint(np.hstack([rows, -np.ones((len(rows), 1))]), 0, np.inf)
    inside = {"type": "ineq", "fun": lambda x: radius**2 - ((x[:-1] - mean) ** 2).sum()}
    start = np.append(mean, (rows @ mean).min())
    other = minimize(lambda x: -x[-1], start, constraints=[rises, inside], method="SLSQP", options={"ftol": 1e-14})

    assert np.linalg.norm(found - mean) == pytest.approx(radius)
    assert (rows @ found).min() == pytest.approx(-other.fun, rel=1e-6)


def test_cagrad_goes_on_beside_a_short_gradient():
    """A gradient that is 1e-6 as long as another is no sign of a stationary point; opposite ones can be."""
    found = weights_for("cagrad", np.diag([1.0, 1e-12]))

    assert found @ [1, 0] >= 0.5
    assert found @ [0, 1] > 1e4
    opposite = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_array_equal(weights_for("cagrad", opposite), [0, 0, 0])


@pytest.mark.parametrize("size", [1, 2, 5, 20])
def test_bounded_minima_are_those_of_scipy(size):
    """Quadratic problems with x >= 0 have the solutions of scipy's nonnegative least squares."""
    factor = RANDOM.normal(size=(size + 3, size)) * 10.0 ** RANDOM.uniform(-3, 3, size)
    sides = RANDOM.normal(size=(8, size + 3)) @ factor
    problem = BoundedQuadratic(factor.T @ factor)
    found, other = problem.minima(sides), [problem.minimum(side, side > 0) for side in sides]
    lower = np.linalg.cholesky(factor.T @ factor)

    for each, single, side in zip(found, other, sides, strict=True):
        expected = nnls(lower.T, np.linalg.solve(lower, side))[0]
        np.testing.assert_allclose(each, single, rtol=1e-5, atol=1e-6 * expected.max())
        np.testing.assert_allclose(each, expected, rtol=1e-5, atol=1e-6 * expected.max())


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_the_projection_on_the_simplex(offset):
    """The projection lies on the simplex, and is at right angles or blunt ones to all corners."""
    for size in (1, 2, 7):
        point = RANDOM.normal(size=size) * 2 + offset
        found = project_on_simplex(point)

        assert found.sum() == pytest.approx(1, abs=1e-9)
        assert (found >= 0).all()
        assert ((np.eye(size) - found) @ (point - found) <= 1e-8 * max(1.0, offset)).all()


def test_gradnorm_is_a_plain_loop():
    """Weights are those of the loss of the paper, differentiated by PyTorch, with Adam and scaled weights."""
    weighting = made("gradnorm", 3, learning_rate=0.02, alpha=0.7).weighting
    weights = torch.ones(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=0.02)
    for losses, rows in zip(LOSSES, ROWS, strict=True):
        found = weighting.weights(ObjectiveMeasurements(current_losses=losses, gramian=rows @ rows.T))
        np.testing.assert_allclose(found, weights.detach().numpy(), rtol=1e-9)
        norms = torch.tensor(np.linalg.norm(rows, axis=1)) * weights
        rates = torch.tensor(losses / LOSSES[0])
        optimizer.zero_grad()
        (norms - (norms.mean() * (rates / rates.mean()) ** 0.7).detach()).abs().sum().backward()
        optimizer.step()
        with torch.no_grad():
            weights *= 3 / weights.sum()


def test_auto_lambda_descends_on_the_validation_loss():
    """Weights move as by Adam on the slopes that differences of the validation loss after a step give."""
    rate, weighting = 1e-3, made("auto_lambda", 2, learning_rate=0.01, start=0.5).weighting
    train, validation = ROWS[0, :2] / 10, np.array([0.3, -1.0, 0.2, 0.0, 0.5])
    weights = torch.full((2,), 0.5, dtype=torch.float64)
    optimizer = torch.optim.Adam([weights], lr=0.01)

    def loss(weights, place, by):
        """The validation loss, linear in the parameters, after one step from 0."""
        changed = weights.numpy() + by * np.eye(2)[place]
        return validation @ (-rate * changed @ train)

    for _ in range(5):
        slopes = [(loss(weights, place, 0.1) - loss(weights, place, -0.1)) / 0.2 for place in range(2)]
        weights.grad = torch.tensor(slopes) / rate
        optimizer.step()
        found = weighting.weights(ObjectiveMeasurements(validation_products=train @ validation))

        np.testing.assert_allclose(found, weights.numpy(), rtol=1e-9)


def test_adatask_is_adam_of_each_objective():
    """The update is the sum of the updates of one Adam of PyTorch for each objective."""
    combiner = made("adatask", 3).combiner
    copies = [torch.zeros(5, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    optimizers = [torch.optim.Adam([copy], lr=1.0) for copy in copies]
    total = np.zeros(5)
    for rows in ROWS:
        total -= combiner.combine(rows, 0)
        for copy, optimizer, row in zip(copies, optimizers, rows, strict=True):
            copy.grad = torch.tensor(row)
            optimizer.step()

        np.testing.assert_allclose(total, sum(copy.detach().numpy() for copy in copies), rtol=1e-9)


def test_db_mtl_is_a_plain_loop():
    """The update is the sum of averages of gradients of logarithms, all with the largest of their norms."""
    method = made("db_mtl", 3, keep=0.8, keep_decay=0.5)
    average = np.zeros((3, 5))
    for number, (losses, rows) in enumerate(zip(LOSSES, ROWS, strict=True), start=1):
        found = method.transform.transform(rows, losses)
        weights = method.weighting.weights(ObjectiveMeasurements(gramian=found @ found.T))
        fresh = rows / (losses[:, None] + 1e-8)
        average = fresh + 0.8 / number**0.5 * (average - fresh)
        norms = np.linalg.norm(average, axis=1)

        np.testing.assert_allclose(weights @ found, (norms.max() / norms) @ average, rtol=1e-9)


def test_moco_is_a_plain_loop():
    """Weights descend on the norm of the combined averages, and stay on the simplex."""
    options = {"average_rate": 0.6, "average_decay": 0.5, "learning_rate": 0.001, "regularisation": 0.2}
    method = made("moco", 3, **options)
    average, expected = np.zeros((3, 5)), np.full(3, 1 / 3)
    for number, rows in enumerate(ROWS, start=1):
        found = method.transform.transform(rows, None)
        weights = method.weighting.weights(ObjectiveMeasurements(gramian=found @ found.T))
        average = average - 0.6 / number**0.5 * (average - rows)
        moved = expected - 0.001 * (average @ (average.T @ expected) + 0.2 * expected)
        inside = minimize(
            lambda x, moved=moved: ((x - moved) ** 2).sum(),
            expected,
            bounds=[(0, 1)] * 3,
            constraints=[LinearConstraint(np.ones(3), 1, 1)],
            options={"ftol": 1e-16},
        )
        expected = inside.x

        np.testing.assert_allclose(found, average, rtol=1e-12)
        np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_weights_of_logarithms():
    """Those of the sum of logarithms are inverse losses, and those of the geometric mean are parallel to them."""
    measured = ObjectiveMeasurements(current_losses=np.array([0.5, 2.0, 4.0]))

    np.testing.assert_allclose(made("log", 3).weighting.weights(measured), [2, 0.5, 0.25])
    np.testing.assert_allclose(made("gls", 3).weighting.weights(measured), np.cbrt(4) / 3 * np.array([2, 0.5, 0.25]))


@pytest.mark.parametrize("name", ["gls", "log", "gradnorm"])
def test_a_negative_loss_is_refused(name):
    """The message names the objective and the loss, where a weighting takes logarithms or ratios."""
    measured = ObjectiveMeasurements(current_losses=np.array([0.5, -2.0]), gramian=np.eye(2))
    with pytest.raises(TaskFailedError, match="the loss of o1 is -2; this weighting takes logarithms"):
        made(name, 2).weighting.weights(measured)


def test_a_gramian_that_is_not_finite_is_refused():
    """The message names the objectives whose gradients have overflowed."""
    gramian = np.array([[1.0, np.nan], [np.nan, np.inf]])
    with pytest.raises(TaskFailedError, match="`gramian` is not finite for o0, o1; lower the learning rate"):
        made("upgrad", 2).weighting.weights(ObjectiveMeasurements(gramian=gramian))


def test_a_missing_measurement_is_refused():
    """A weighting does not make up what was not measured."""
    with pytest.raises(TaskFailedError, match="Mgda needs `gramian`, which this step did not measure"):
        made("mgda", 2).weighting.weights(ObjectiveMeasurements())
    with pytest.raises(TaskFailedError, match="Dwa needs `epoch`"):
        made("dwa", 2).weighting.weights(ObjectiveMeasurements())
    famo, measured = made("famo", 2).weighting, ObjectiveMeasurements(current_losses=np.ones(2))
    famo.weights(measured)
    with pytest.raises(TaskFailedError, match="Famo needs `losses_after`"):
        famo.weights(measured)


def test_excess_mtl_with_an_objective_that_is_absent_at_first():
    """It gets no more weight than the others when it appears, and its batches without a label leave its share."""
    weighting = made("excess_mtl", 3).weighting
    risks = [[1.0, 1.0, 0.0], [0.9, 0.9, 0.0], [0.8, 0.8, 1e-3], [0.7, 0.7, 0.0]]
    seen = [weighting.from_gramian(np.diag(each)) for each in risks]

    for weights in seen:
        np.testing.assert_allclose(weights.sum(), 1)
        assert weights[2] < 0.4
    np.testing.assert_allclose(seen[0], 1 / 3)
    np.testing.assert_allclose(seen[1], 1 / 3)
    np.testing.assert_allclose(seen[3], seen[2], rtol=1e-6)


def test_rounding_does_not_decide_the_weights_of_sdmgrad():
    """Products that differ by the rounding of float32 give nearly the same weights."""
    random = np.random.default_rng(0)
    for _ in range(50):
        first = random.normal(size=(3, 40)) * np.exp(random.normal(size=(3, 1)))
        products = first @ (first + 0.7 * random.normal(size=first.shape)).T
        seen = []
        for rounding in (0.0, 3e-8):
            weighting = made("sdmgrad", 3).weighting
            given = products * (1 + rounding * random.normal(size=products.shape))
            seen.append(weighting.weights(ObjectiveMeasurements(cross_gramian=given)))

        np.testing.assert_allclose(seen[1], seen[0], atol=1e-6)
