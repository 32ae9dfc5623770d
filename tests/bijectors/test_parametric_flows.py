"""The flows whose parameters are tensors, with parameters from N(0, 1): densities, precision, gradients, references.

Round trips, log_dets in float64 and all the rest: `test_base.py` and `test_contract.py`.
"""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests import properties, reference
from tests.bijectors.constructors import PARAMETRIC, banana, normals
from tfp_iaf.bijectors import HamiltonianFlow, Planar, Radial, Sylvester

tfd = tfp.distributions

every_flow = pytest.mark.parametrize("make", PARAMETRIC.values(), ids=PARAMETRIC)


@every_flow
@pytest.mark.parametrize("seed", range(2))
def test_log_det_and_round_trip_of_any_parameters(make, seed):
    rows = 20
    flow, y = make((rows,), seed=seed), 3.0 * normals(rows, make.event_size, seed=seed)
    with tf.GradientTape() as tape:
        tape.watch(y)
        z, log_det = flow.forward_and_log_det(y)
    jacobian = tape.batch_jacobian(z, y)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-9)
    back, log_det_at_back = flow.inverse_and_log_det(tf.identity(z))
    np.testing.assert_allclose(back, y, atol=1e-6)
    np.testing.assert_allclose(log_det_at_back, log_det, atol=1e-6)


def test_planar_flows_made_at_once_take_no_variables():
    with pytest.raises(ValueError, match=r"takes tensors, got a variable for w, .* make each flow by itself") as error:
        Planar.unstack(tf.zeros([3, 2]), tf.Variable(tf.ones([3, 2])), tf.zeros([3]))
    assert "\n" not in str(error.value)


def test_planar_flows_made_at_once_are_those_made_one_by_one():
    u, w, b, y = normals(5, 3, 4, seed=1), normals(5, 3, 4, seed=2), normals(5, 3, seed=3), normals(5, 4, seed=4)
    together = Planar.unstack(u, w, b)
    assert len(together) == 3
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([u, w, b])
        alone = [Planar(u[:, k], w[:, k], b[:, k]) for k in range(3)]
        totals = []
        for flows in (Planar.unstack(u, w, b), alone):
            z, total = y, 0.0
            for flow in flows:
                z, log_det = flow.forward_and_log_det(z)
                total += tf.reduce_sum(log_det)
            totals.append(total + tf.reduce_sum(tf.sin(z)))
    np.testing.assert_allclose(totals[0], totals[1], rtol=1e-12)
    gradients = [tape.gradient(total, [u, w, b]) for total in totals]
    for found, expected in zip(*gradients):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@every_flow
def test_float32_residuals(make):
    """f(f^-1(z)) - z, relative to z; the residual, since some of these maps are nearly flat somewhere."""
    rows = 200
    flow = make((rows,), dtype="float32")
    z = tf.cast(3.0 * normals(rows, make.event_size), tf.float32)
    residual = flow.forward_and_log_det(flow.inverse_and_log_det(z)[0])[0] - z
    assert np.max(np.abs(residual) / (1.0 + np.abs(z))) < 1e-4


@pytest.mark.parametrize("name", sorted(set(PARAMETRIC) - {"additive coupling"}))
def test_float32_log_dets_of_both_directions_where_slopes_are_at_their_bounds(name):
    """A residual says nothing of the density: the log_det of a draw, and that of the inverse at the draw, against float64."""
    rows, make = 400, PARAMETRIC[name]
    flow = make((rows,))
    large = {name: tf.cast(6.0 * value, tf.float32) for name, value in flow.parameters.items() if tf.is_tensor(value)}
    exact = flow.copy(**{name: tf.cast(value, tf.float64) for name, value in large.items()})
    y = tf.cast(3.0 * normals(rows, make.event_size), tf.float32)
    z, log_det = flow.copy(**large).forward_and_log_det(y)
    np.testing.assert_allclose(log_det, exact.forward_and_log_det(tf.cast(y, tf.float64))[1], atol=1e-3)
    np.testing.assert_allclose(flow.copy(**large).inverse_and_log_det(tf.identity(z))[1], log_det, atol=0.1)


@pytest.mark.parametrize("product", [-12.0, -20.0, -110.0])
def test_a_planar_flow_that_is_nearly_flat_keeps_its_density(product):
    """1 + w'v would be 1e-5, 1e-9, 0 without a lower bound, and v is rounded: the two directions differed by nats."""
    flow = Planar(tf.constant([-product, 0.3]), tf.constant([-1.0, 0.0]), tf.constant(0.3))
    y = tf.cast(normals(2000, 2), tf.float32)
    z, log_det = flow.forward_and_log_det(y)
    _, log_det_at_z = flow.inverse_and_log_det(tf.identity(z))
    np.testing.assert_allclose(log_det_at_z, log_det, atol=5e-4 * abs(product))
    assert np.isfinite(flow.inverse_and_log_det(tf.zeros([1, 2]))[1]).all()


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e25])
def test_a_radial_flow_of_tiny_and_huge_events(size):
    flow = Radial(tf.zeros([3]), tf.constant(0.5), tf.constant(-1.0))
    y = tf.constant([[3.0, 4.0, 0.0]]) * size
    z, log_det = flow.forward_and_log_det(y)
    back, log_det_at_z = flow.inverse_and_log_det(tf.identity(z))
    np.testing.assert_allclose(back, y, rtol=1e-5)
    np.testing.assert_allclose(log_det_at_z, log_det, atol=1e-5)
    limit = 3.0 * np.log(flow.forward(tf.constant([[1e-6, 0.0, 0.0]]))[0, 0] / 1e-6) if size < 1.0 else 0.0
    assert size == 1.0 or abs(log_det[0] - limit) < 1e-3


@every_flow
@pytest.mark.parametrize("seed", [0, 1])
def test_densities_on_the_plane_integrate_to_one(make, seed):
    base = tfd.MultivariateNormalDiag(tf.zeros([2], tf.float64), 0.7 * tf.ones([2], tf.float64))
    distribution = tfd.TransformedDistribution(base, make(seed=seed, event_size=2))
    assert abs(properties.integral_on_the_plane(distribution.log_prob) - 1.0) < 0.01


@every_flow
def test_gradients_of_the_inverse_and_of_its_log_det(make):
    """Against central differences in float64, with respect to z and to every parameter."""
    flow = make()
    names = [name for name, value in flow.parameters.items() if tf.is_tensor(value)]
    values = [normals(make.event_size), *(flow.parameters[name] for name in names)]
    weights = normals(make.event_size, seed=4)

    def loss(z, *parameters):
        y, log_det = flow.copy(**dict(zip(names, parameters))).inverse_and_log_det(z)
        return tf.reduce_sum(weights * y) + tf.sin(log_det)

    with tf.GradientTape() as tape:
        tape.watch(values)
        value = loss(*values)
    gradients = tape.gradient(value, values, unconnected_gradients="zero")
    rng = np.random.default_rng(0)
    for index, gradient in enumerate(gradients):
        direction, step = rng.normal(size=gradient.shape), 1e-5
        moved = [[*values[:index], values[index] + sign * step * direction, *values[index + 1 :]] for sign in (1.0, -1.0)]
        difference = (loss(*moved[0]) - loss(*moved[1])) / (2.0 * step)
        np.testing.assert_allclose(np.sum(gradient * direction), difference, rtol=1e-6, atol=1e-7)


@every_flow
def test_second_derivatives_of_the_log_density(make):
    """The Hessian of log q(z) through the inverse, against differences of its gradient."""
    distribution = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros([make.event_size], tf.float64)), make())
    z, direction, step = normals(make.event_size), normals(make.event_size, seed=5), 1e-5

    def gradient(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            log_prob = distribution.log_prob(z)
        return tape.gradient(log_prob, z)

    with tf.GradientTape() as tape:
        tape.watch(z)
        product = tf.reduce_sum(gradient(z) * direction)
    difference = (gradient(z + step * direction) - gradient(z - step * direction)) / (2.0 * step)
    np.testing.assert_allclose(tape.gradient(product, z), difference, rtol=1e-5, atol=1e-6)


@every_flow
def test_one_entry(make):
    """D = 1; the additive coupling needs an entry to keep, and the Hamiltonian flow one momentum."""
    size = {"additive coupling": 2, "Hamiltonian": 2}.get(next(name for name in PARAMETRIC if PARAMETRIC[name] is make), 1)
    flow, y = make(event_size=size), normals(6, size)
    with tf.GradientTape() as tape:
        tape.watch(y)
        z, log_det = flow.forward_and_log_det(y)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(tape.batch_jacobian(z, y))[1], atol=1e-9)
    np.testing.assert_allclose(flow.inverse_and_log_det(tf.identity(z))[0], y, atol=1e-9)


@every_flow
def test_parameters_and_events_broadcast(make):
    flow, y = make((3, 1)), normals(2, make.event_size)
    repeated = tf.broadcast_to(y, [3, 2, make.event_size])
    for function in (flow.forward_and_log_det, flow.inverse_and_log_det):
        (value, log_det), expected = function(y), function(repeated)
        assert log_det.shape == (3, 2)
        np.testing.assert_allclose(value, expected[0], atol=1e-12)
        np.testing.assert_allclose(log_det, expected[1], atol=1e-12)


def test_forward_equals_the_references():
    y = normals(5)
    planar = PARAMETRIC["planar"]()
    np.testing.assert_allclose(planar.forward(y), reference.planar(*map(np.array, (planar.u, planar.w, planar.b)), y))
    radial = PARAMETRIC["radial"]()
    expected = reference.radial(*map(np.array, (radial.center, radial.width, radial.slope)), y)
    np.testing.assert_allclose(radial.forward(y), expected)
    for name in ("Sylvester", "Sylvester, Householder", "Sylvester, triangular"):
        flow = PARAMETRIC[name]()
        q = np.eye(5) if flow.basis() is None else flow.basis().numpy()
        np.testing.assert_allclose(flow.forward(y), reference.sylvester(*map(np.array, (flow.r, flow.s, flow.b)), q, y))


def test_a_variable_is_read_with_each_call():
    u = tf.Variable([1.0, 0.0])
    flow = Planar(u, tf.ones([2]), 0.0)
    assert len(flow.trainable_variables) == 1
    y = tf.ones([3, 2])
    before = flow.forward(y)
    u.assign([0.0, 0.0])
    np.testing.assert_array_equal(flow.forward(y), y)
    assert np.abs(before - y).max() > 0.5


# The guards


def test_planar_without_a_direction():
    """w = 0 shifts by u tanh(b); near 0 nothing grows; u = 0 is the identity."""
    y, u = normals(4, 3), normals(3, seed=1)
    for scale in (0.0, 1e-200, 1e-12):
        w = scale * normals(3, seed=2)
        with tf.GradientTape() as tape:
            tape.watch([u, w])
            z, log_det = Planar(u, w, tf.constant(0.5, tf.float64)).forward_and_log_det(y)
            loss = tf.reduce_sum(z) + tf.reduce_sum(log_det)
        np.testing.assert_allclose(log_det, 0.0, atol=1e-11)
        assert np.abs(z - y).max() < 3.0 * np.abs(u).max()
        assert all(np.isfinite(gradient).all() for gradient in tape.gradient(loss, [u, w]))
    np.testing.assert_allclose(Planar(u, tf.zeros_like(u), 0.5).forward(y), y + u * np.tanh(0.5))
    np.testing.assert_array_equal(Planar(tf.zeros_like(u), normals(3), 0.5).forward(y), y)


@pytest.mark.parametrize("size", [1, 3])
def test_radial_at_its_center(size):
    center = normals(size)
    flow = Radial(center, tf.constant(0.3, tf.float64), tf.constant(-1.0, tf.float64))
    for function in (flow.forward_and_log_det, flow.inverse_and_log_det):
        with tf.GradientTape() as tape:
            tape.watch(center)
            value, log_det = function(center)
            loss = tf.reduce_sum(value) + log_det
        np.testing.assert_array_equal(value, center)
        assert np.isfinite(tape.gradient(loss, center)).all()
    slope = reference.softplus(-1.0 + np.log(np.e - 1.0)) + 1e-5
    width = reference.softplus(0.3 + np.log(np.e - 1.0)) + 1e-5
    np.testing.assert_allclose(log_det, size * np.log(slope / width), atol=1e-12)


@pytest.mark.parametrize("name", ["Sylvester", "Sylvester, Householder"])
def test_the_columns_of_a_sylvester_flow_are_orthonormal(name):
    for seed in range(5):
        q = PARAMETRIC[name]((3,), seed=seed).basis()
        assert q.shape[-2] == 5
        np.testing.assert_allclose(tf.matmul(q, q, transpose_a=True), np.eye(q.shape[-1]) + np.zeros([3, 1, 1]), atol=1e-12)


def test_a_reflection_along_nothing_is_the_identity():
    flow = Sylvester(normals(3, 3), normals(3, 3), normals(3), reflections=tf.zeros([2, 3], tf.float64))
    np.testing.assert_array_equal(flow.basis(), np.eye(3))


def test_triangles_keep_their_bounds():
    r, s = PARAMETRIC["Sylvester"]().copy(r=1e3 * normals(3, 3), s=-1e3 * normals(3, 3)).triangles()
    for triangle in (r, s):
        assert (np.tril(triangle, -1) == 0).all()
        assert np.abs(np.diag(triangle)).max() <= 1.0 - 1e-3


# Hamiltonian


def test_leapfrogs_equal_the_reference_and_keep_the_energy():
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x := tf.constant(x))
            value = banana(x)
        return tape.gradient(value, x).numpy()

    y, step = normals(6), np.array([0.1, 0.2, 0.05])
    z = HamiltonianFlow(banana, step, 4).forward(y)
    np.testing.assert_allclose(z, reference.leapfrogs(gradient, step, 4, y.numpy()))

    def energy(y):
        return 0.5 * tf.reduce_sum(y[3:] ** 2) - banana(y[:3])

    far = HamiltonianFlow(banana, tf.constant(0.02, tf.float64), 50).forward(y)
    assert np.abs(far - y).max() > 0.3
    np.testing.assert_allclose(energy(far), energy(y), atol=1e-3)


def test_a_target_with_weights_is_trained():
    scale = tf.Variable(2.0)
    flow = HamiltonianFlow(lambda x: -0.5 * tf.reduce_sum((x / scale) ** 2, axis=-1), 0.1, 2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(flow.forward_and_log_det(tf.ones([3, 4]))[0] ** 2)
    assert abs(tape.gradient(loss, scale)) > 1e-3


# Errors


def test_bad_arguments_raise_one_line():
    ones = tf.ones
    for function, message in {
        lambda: Planar(ones([2]), ones([3]), 0.0): "with one D",
        lambda: Planar(tf.constant(1.0), ones([3]), 0.0): "with one D",
        lambda: Planar(ones([2]), ones([2], tf.float64), 0.0): "w of dtype float64: cast",
        lambda: Planar(ones([2], tf.int32), ones([2], tf.int32), 0): "floating-point",
        lambda: Planar(ones([2]), ones([2]), 0.0).forward(ones([3])): r"events of shape \[..., 2\]",
        lambda: Planar(ones([2]), ones([2]), 0.0).forward(ones([2], tf.float64)): "has dtype float32",
        lambda: Radial(tf.constant(1.0), 0.0, 0.0): r"center of shape \[..., D\]",
        lambda: Sylvester(ones([2, 2]), ones([2, 2]), ones([3])): r"b \(3,\)",
        lambda: Sylvester(ones([3, 3]), ones([3, 3]), ones([3]), columns=ones([2, 3])): "M <= D",
        lambda: Sylvester(ones([2, 2]), ones([2, 2]), ones([2]), ones([2, 2]), ones([2, 2])): "got both",
        lambda: HamiltonianFlow(3, 0.1): "must be a function",
        lambda: HamiltonianFlow(banana, 0.1, num_leapfrog_steps=0): "positive integer",
        lambda: HamiltonianFlow(banana, 0.1).forward(ones([3])): "positions and momenta",
        lambda: HamiltonianFlow(banana, ones([3])).forward(ones([4])): r"step_size \(3,\)",
        lambda: HamiltonianFlow(tf.square, 0.1).forward(ones([2, 4])): "one number per row",
        lambda: HamiltonianFlow(lambda x: x.numpy()[:, 0], 0.1).forward(ones([2, 4])): "has no gradient",
        lambda: HamiltonianFlow(banana, ones([4, 1])).forward(ones([5, 4])): r"step_size with batch shape \(4,\)",
    }.items():
        with pytest.raises(ValueError, match=message) as error:
            function()
        assert "\n" not in str(error.value)


@every_flow
def test_the_score_moves_along(make):
    """J^-T (score - d log|det J| / dy), with the Jacobian from autodiff."""
    rows = 5
    flow, y, score = make((rows,)), normals(rows, make.event_size), normals(rows, make.event_size, seed=4)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(y)
        z, log_det = flow.forward_and_log_det(y)
    by_log_det = tape.gradient(log_det, y, unconnected_gradients="zero")
    transposed = tf.linalg.matrix_transpose(tape.batch_jacobian(z, y))
    expected = tf.linalg.solve(transposed, (score - by_log_det)[..., tf.newaxis])[..., 0]
    for found, value in zip(flow.forward_and_score(y, score), (z, log_det, expected)):
        np.testing.assert_allclose(found, value, atol=1e-8)


@pytest.mark.parametrize("size", [1e-18, 1e-13, 1e10, 1e20])
def test_planar_flows_along_tiny_and_huge_directions(size):
    """In float32, whose range their squares leave."""
    found = []
    for dtype in ("float32", "float64"):
        u, w, b, y = (tf.constant(value, dtype) for value in ([-1.0, 1.0], [size, 0.0], 0.5, [0.3, -1.0]))
        with tf.GradientTape() as tape:
            tape.watch(w)
            z, log_det = Planar(u, w, b).forward_and_log_det(y)
        found.append([*z.numpy(), log_det.numpy(), size * tape.gradient(z, w)[1].numpy()])
    np.testing.assert_allclose(*found, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [1e-30, 1e-19, 1e20])
@pytest.mark.parametrize("kind", ["columns", "reflections"])
def test_sylvester_flows_have_an_orthogonal_basis_of_vectors_of_any_size(kind, size):
    vectors = size * tf.constant([[1.0, 2.0], [3.0, 1.0]])
    q = Sylvester(tf.ones([2, 2]), tf.ones([2, 2]), tf.zeros([2]), **{kind: vectors}).basis()
    expected = Sylvester(tf.ones([2, 2]), tf.ones([2, 2]), tf.zeros([2]), **{kind: vectors / size}).basis()
    np.testing.assert_allclose(tf.matmul(q, q, transpose_a=True), np.eye(2), atol=1e-6)
    np.testing.assert_allclose(q, expected, atol=1e-6)
