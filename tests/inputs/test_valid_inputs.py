"""Drawn inputs, right or wrong in their values: the answer of float64 NumPy, or the documented error."""

import itertools

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests import properties, recurrent_reference, reference
from tests.inputs.strategies import DTYPES, arrays, batch_shapes, finite, numbers, orders, tolerance, widths
from tfp_iaf import evaluation, likelihoods, masks, noise, objectives, posteriors, priors
from tfp_iaf.bijectors import HamiltonianFlow, InverseAutoregressiveFlow, LinearCholeskyIAF, Planar, Radial, Sylvester, maps
from tfp_iaf.models import VAE
from tfp_iaf.networks import AutoregressiveNetwork, ConvAutoregressiveNetwork, RecurrentAutoregressiveNetwork

KINDS = st.sampled_from(["affine", "gated", "location"])


def rows_of(*values, ndims=1):
    """The values `[..., *event]`, broadcast, as one axis of rows each."""
    batch = np.broadcast_shapes(*(np.shape(value)[: np.ndim(value) - ndims] for value in values))
    broadcast = [np.broadcast_to(value, (*batch, *np.shape(value)[np.ndim(value) - ndims :])) for value in values]
    count = int(np.prod(batch))
    return batch, [each.reshape([count, *each.shape[each.ndim - ndims :]]).astype(np.float64) for each in broadcast]


def same(ours, expected, dtype, size=1.0):
    """Equal to rounding; where the expected number is beyond the dtype, ours must not be a plausible one."""
    ours, expected = np.asarray(ours, np.float64), np.asarray(expected, np.float64)
    assert ours.shape == expected.shape
    fits = np.isfinite(expected) & (np.abs(expected) < 1e37)
    atol = np.broadcast_to(tolerance(dtype, size), expected.shape) + tolerance(dtype, 0.0) * np.abs(expected)
    assert (np.abs(ours[fits] - expected[fits]) <= atol[fits]).all()
    assert not (np.abs(ours[~np.isfinite(expected)]) < 1e30).any()


@given(st.data())
def test_inverse_autoregressive_flows(data):
    size, dtype, kind = data.draw(st.integers(1, 4)), data.draw(DTYPES), data.draw(KINDS)
    context_size = data.draw(st.none() | st.integers(1, 3))
    params = maps.get(kind).params
    network = AutoregressiveNetwork(
        params, size, data.draw(widths), context_size, data.draw(orders(size)), activation="elu", dtype=dtype
    )
    network.build()
    properties.randomize(network)
    y = data.draw(arrays((*data.draw(batch_shapes), size), numbers(1e6), dtype))
    context = None if context_size is None else data.draw(arrays((context_size,), finite(), dtype))
    flow = InverseAutoregressiveFlow(network, context, bijector_fn=kind)
    z, log_det = flow.forward_and_log_det(tf.constant(y))
    batch, (events, contexts) = rows_of(y, np.zeros([0]) if context is None else context)
    weights = reference.weights_of(network)
    for row, c, ours, ours_log_det in zip(events, contexts, np.reshape(z, [-1, size]), np.reshape(log_det, [-1])):
        if np.isfinite(row).all():
            expected = reference.iaf_forward(weights, network.degrees, row, None if context is None else c, kind)
            largest = np.abs(row).max(initial=1.0)
            same(ours, expected[0], dtype, 100.0 * largest)
            # The log-scale of a far-out event follows a steep tanh: its rounding is that of the event.
            same(ours_log_det, expected[1], dtype, 10.0 * size * largest)
            if largest < 10.0:
                back = flow.inverse(tf.constant(ours))
                np.testing.assert_allclose(back, row, atol=tolerance(dtype, 100.0))
        else:
            assert not (np.isfinite(ours).all() and np.isfinite(ours_log_det))
    assert log_det.shape == batch


@given(st.data())
def test_convolutional_and_recurrent_networks(data):
    if data.draw(st.booleans()):
        shape = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2)))
        context_size = data.draw(st.none() | st.integers(1, 2))
        network = ConvAutoregressiveNetwork(
            2, shape, data.draw(widths), data.draw(st.sampled_from([1, 3])), context_size, dtype="float64"
        )
        naive = lambda y, c: reference.conv_made(reference.weights_of(network), y, c, 2)  # noqa: E731
    else:
        shape = (data.draw(st.integers(1, 3)),)
        context_size = data.draw(st.none() | st.integers(1, 2))
        cell = data.draw(st.sampled_from(["gru", "lstm"]))
        network = RecurrentAutoregressiveNetwork(
            2, shape, data.draw(st.integers(1, 4)), cell, context_size, data.draw(orders(shape[0])), dtype="float64"
        )
        naive = lambda y, c: recurrent_reference.parameters(network, y, c)  # noqa: E731
    network.build()
    properties.randomize(network)
    count = data.draw(st.integers(0, 2))
    y = data.draw(arrays((count, *shape), finite(), "float64"))
    context = None if context_size is None else data.draw(arrays((count, *network.context_shape), finite(), "float64"))
    parameters = network(y, context=context)
    assert parameters.shape == (count, *shape, 2)
    for i in range(count):
        np.testing.assert_allclose(parameters[i], naive(y[i], None if context is None else context[i]), atol=1e-9)


@given(st.data())
def test_maps(data):
    kind, dtype = data.draw(KINDS | st.just("monotone")), data.draw(DTYPES)
    elementwise = maps.Monotone(2) if kind == "monotone" else maps.get(kind)
    y = data.draw(arrays((3,), numbers(1e30 if kind != "monotone" else 1e3), dtype))
    parameters = data.draw(arrays((3, elementwise.params), finite(1e3 if kind != "monotone" else 4.0), dtype))
    z, log_derivative = elementwise.forward(tf.constant(y), tf.constant(parameters))
    for i in range(3):
        with np.errstate(all="ignore"):
            if kind == "monotone":
                expected = reference.monotone(float(y[i]), parameters[i].astype(np.float64))
            else:
                expected = reference.elementwise(kind, float(y[i]), parameters[i].astype(np.float64))
        same(z[i], expected[0], dtype, 1e3)
        if np.isfinite(y[i]):
            same(log_derivative[i], expected[1], dtype, 10.0)


@given(st.data())
def test_flows_of_vectors(data):
    size, dtype = data.draw(st.integers(2, 4)), data.draw(DTYPES)
    kind = data.draw(st.sampled_from(["planar", "radial", "Sylvester", "linear Cholesky", "Hamiltonian"]))

    def draw(*shape):
        return data.draw(arrays(shape, finite(3.0), dtype))

    if kind == "planar":
        u, w, b = draw(size), draw(size), draw()
        flow, naive = Planar(u, w, b), lambda y: reference.planar(*(x.astype(np.float64) for x in (u, w, b)), y)
        if not np.abs(w).max() > 1e-3:
            return  # The reference divides by |w|^2.
    elif kind == "radial":
        center, width, slope = draw(size), draw(), draw()
        flow = Radial(center, width, slope)
        naive = lambda y: reference.radial(*(x.astype(np.float64) for x in (center, width, slope)), y)  # noqa: E731
    elif kind == "Sylvester":
        r, s, b = draw(size, size), draw(size, size), draw(size)
        flow = Sylvester(r, s, b)
        naive = lambda y: reference.sylvester(*(x.astype(np.float64) for x in (r, s, b)), np.eye(size), y)  # noqa: E731
    elif kind == "linear Cholesky":
        flow = LinearCholeskyIAF(draw(size * (size - 1) // 2))
        naive = lambda y: np.asarray(flow.cholesky(), np.float64) @ y  # noqa: E731
    else:
        step = np.abs(draw(1)) / 10.0
        flow = HamiltonianFlow(lambda x: -0.5 * tf.reduce_sum(x**2, axis=-1), step, 2)
        naive = lambda y: reference.leapfrogs(lambda x: -x, np.repeat(step, size).astype(np.float64), 2, y)  # noqa: E731
        size *= 2
    y = data.draw(arrays((*data.draw(batch_shapes), size), numbers(1e3), dtype))
    z, log_det = flow.forward_and_log_det(tf.constant(y))
    assert (z.shape, log_det.shape) == (y.shape, y.shape[:-1])
    numbers_of_flow = {name: value for name, value in flow.parameters.items() if isinstance(value, np.ndarray)}
    exact = flow.copy(**{name: value.astype(np.float64) for name, value in numbers_of_flow.items()})
    exact_log_dets = np.reshape(exact.forward_and_log_det(tf.constant(y, tf.float64))[1], [-1])
    _, (events,) = rows_of(y)
    for row, ours, our_log_det, expected in zip(events, np.reshape(z, [-1, size]), np.reshape(log_det, [-1]), exact_log_dets):
        if np.isfinite(row).all():
            same(ours, naive(row), dtype, 100.0 * np.abs(row).max(initial=1.0))
            np.testing.assert_allclose(our_log_det, expected, atol=2e-2 if dtype == "float32" else 1e-9)
        else:
            assert not np.isfinite(ours).all()


@given(st.data())
def test_posteriors_score_what_they_draw(data):
    size, policy = data.draw(st.integers(2, 4)), data.draw(st.sampled_from(["float32", "float64", "mixed_bfloat16"]))
    kind = data.draw(st.sampled_from([posteriors.DiagonalGaussian, posteriors.FullCovariance, posteriors.IAF, posteriors.NICE]))
    arguments = {"hidden_units": (5,)} if kind in (posteriors.IAF, posteriors.NICE) else {}
    posterior = kind(size, seed=0, dtype=policy, **arguments)
    rows, samples = data.draw(st.integers(0, 3)), data.draw(st.none() | st.integers(1, 2))
    features = data.draw(arrays((rows, 3), finite()))
    z, log_q = posterior(features, num_samples=samples, seed=data.draw(st.integers(-(2**31), 2**31 - 1)))
    leading = () if samples is None else (samples,)
    assert (z.shape, log_q.shape) == ((*leading, rows, size), (*leading, rows))
    assert z.dtype == log_q.dtype == ("float64" if policy == "float64" else "float32")
    if policy != "mixed_bfloat16":
        np.testing.assert_allclose(posterior(features, value=properties.fresh(z)), log_q, atol=1e-3)
    if kind is posteriors.DiagonalGaussian and policy == "float64":
        loc, unconstrained, _ = posterior.read(features)
        scale = np.logaddexp(0.0, np.asarray(unconstrained) + np.log(np.e - 1.0)) + 1e-5
        np.testing.assert_allclose(log_q, scipy.stats.norm.logpdf(z, loc, scale).sum(axis=-1), atol=1e-9)


@given(st.data())
def test_priors(data):
    size, dtype = data.draw(st.integers(1, 3)), data.draw(DTYPES)
    z = data.draw(arrays((*data.draw(batch_shapes), size), numbers(1e15), dtype))
    normal = priors.StandardNormal(dtype=dtype)
    normal.build((size,))
    mixture = priors.GaussianMixture(2, seed=0, dtype=dtype)
    mixture.build((size,))
    log_weights, locs, scales = (np.asarray(part, np.float64) for part in mixture.components())
    with np.errstate(invalid="ignore", over="ignore"):
        wide = z.astype(np.float64)
        expected = scipy.stats.norm.logpdf(wide).sum(axis=-1)
        parts = scipy.stats.norm.logpdf(wide[..., np.newaxis, :], locs, scales).sum(axis=-1)
        of_mixture = scipy.special.logsumexp(log_weights + parts, axis=-1)
    same(normal.log_prob(z), expected, dtype)
    same(mixture.log_prob(z), of_mixture, dtype, 10.0)


@given(st.data())
def test_likelihoods(data):
    name, dtype = data.draw(st.sampled_from(["bernoulli", "normal", "discretized_logistic"])), data.draw(DTYPES)
    likelihood, size = likelihoods.get(name), data.draw(st.integers(1, 3))
    elements = {"bernoulli": st.sampled_from([0.0, 1.0]), "discretized_logistic": st.integers(0, 255).map(float)}
    wrong = st.sampled_from([np.nan, np.inf, -1.0, 0.5, 256.0])
    x = data.draw(arrays((2, size), elements.get(name, finite(100.0)) | wrong, dtype))
    parameters = data.draw(arrays((2, size if name == "bernoulli" else 2 * size), finite(10.0), dtype)).astype(np.float64)
    is_right = np.isfinite(x)
    if name == "bernoulli":
        is_right &= (x == 0) | (x == 1)
    if name == "discretized_logistic":
        is_right &= (x >= 0) & (x <= 255) & (x == np.floor(x))
    np.testing.assert_array_equal(likelihood.is_valid(tf.constant(x)), is_right.all(axis=-1))
    if not is_right.all():
        with pytest.raises(ValueError, match=r"likelihood takes data|NaN or infinite") as error:
            likelihood.check(x)
        assert "\n" not in str(error.value)
        return
    likelihood.check(x)
    loc, v = np.split(parameters, 2, axis=-1) if name != "bernoulli" else (parameters, None)
    wide = x.astype(np.float64)
    if name == "bernoulli":
        expected = wide * loc - np.logaddexp(0.0, loc)
    elif name == "normal":
        expected = scipy.stats.norm.logpdf(wide, loc, np.exp(5.0 * np.tanh(v / 5.0)))
    else:
        scale = 0.1 * np.exp(6.0 * np.tanh(v / 6.0))
        edges = [np.where(wide == 0, -np.inf, wide / 256.0), np.where(wide == 255, np.inf, (wide + 1.0) / 256.0)]
        low, high = (((edge - 0.5 - loc) / scale) for edge in edges)
        # Of the two tails the one without cancellation.
        mass = np.where(
            low > 0,
            scipy.special.expit(-low) - scipy.special.expit(-high),
            scipy.special.expit(high) - scipy.special.expit(low),
        )
        expected = np.log(np.maximum(mass, 1e-300))
    ours = likelihood.distribution(tf.constant(parameters.astype(dtype))).log_prob(x)
    total = expected.sum(axis=-1)
    assert np.isfinite(ours).all()
    near = total > -200.0  # Farther out float64 loses the mass itself.
    np.testing.assert_allclose(np.asarray(ours)[near], total[near], rtol=1e-3, atol=1e-3)


@given(st.data())
def test_objectives(data):
    samples, batch = data.draw(st.integers(1, 4)), data.draw(st.integers(0, 3))
    log_w = data.draw(arrays((samples, batch), finite(1e4) | st.just(-np.inf), data.draw(DTYPES)))
    with np.errstate(divide="ignore"):
        expected = scipy.special.logsumexp(log_w.astype(np.float64), axis=0) - np.log(samples) if batch else np.zeros([0])
    same(objectives.importance_weighted_bound(log_w), expected, log_w.dtype.name)
    kl = data.draw(arrays((batch + 1, 2), finite(10.0)))
    minimum = data.draw(st.floats(0.0, 5.0))
    expected = np.maximum(kl.astype(np.float64).mean(axis=0), minimum).sum()
    same(objectives.free_bits(kl, minimum), expected, "float32", 10.0)


@given(st.data())
def test_masks_are_autoregressive(data):
    size, units = data.draw(st.integers(1, 6)), data.draw(st.lists(st.integers(1, 6), max_size=3))
    degrees = masks.input_degrees(size, data.draw(orders(size)))
    layers = [degrees, *masks.fixed_hidden_degrees(units, size, "random", data.draw(st.booleans()), seed=0)[0]]
    reads = np.eye(size, dtype=int)
    for before, after in itertools.pairwise(layers):
        reads = reads @ masks.degree_mask(before, after)
    reads = reads @ masks.degree_mask(layers[-1], degrees, strict=True)
    assert not (reads * (degrees[:, np.newaxis] >= degrees)).any()


@given(npst.arrays(npst.scalar_dtypes() | st.just(np.dtype(object)), npst.array_shapes(min_dims=0, max_dims=3, min_side=0)))
def test_data_of_any_kind_pass_or_are_refused_in_one_line(x):
    model = _any_model()
    is_real = x.dtype.kind in "biuf"
    with np.errstate(over="ignore"):
        is_right = is_real and x.ndim == 2 and x.shape[1] == 3 and np.isfinite(x.astype(np.float32)).all()
    try:
        checked = model.check_data(x)
    except ValueError as error:
        assert not is_right
        assert "\n" not in str(error)
        return
    assert is_right
    np.testing.assert_array_equal(checked, x)


@given(st.data())
def test_seeds_and_counts_of_models(data):
    model = _any_model()
    seed = data.draw(st.integers(-(2**40), 2**40) | st.floats() | st.tuples(st.integers(-(2**33), 2**33), st.integers(0, 9)))
    words = seed if isinstance(seed, tuple) else (seed,)
    is_right = all(isinstance(word, int) and -(2**31) <= word < 2**31 for word in words)
    try:
        pair = noise.seed_pair(seed)
    except ValueError as error:
        assert not is_right
        assert "\n" not in str(error)
        return
    assert is_right
    count, temperature = data.draw(st.integers(1, 3)), data.draw(st.floats(0.0, 10.0))
    samples = model.sample(count, seed, temperature)
    assert samples.shape == (count, 3)
    np.testing.assert_array_equal(samples, model.sample(count, pair, temperature))


@given(st.data())
def test_bounds_of_models(data):
    """log p(x) of a linear decoder that ignores z is known."""
    model = _any_model()
    x = data.draw(arrays((data.draw(st.integers(1, 3)), 3), finite(1e4)))
    values = evaluation.log_likelihood(model, x, num_samples=data.draw(st.integers(1, 3)), verbose=False, jit_compile=False)
    expected = scipy.stats.norm.logpdf(x.astype(np.float64)).sum(axis=-1)
    # q = p where the posterior ignores x.
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-3)


_MODELS = []


def _any_model():
    if not _MODELS:
        encoder, decoder = (keras.layers.Dense(units, kernel_initializer="zeros") for units in (2, 6))
        model = VAE(encoder, posteriors.DiagonalGaussian(2, seed=0), decoder, likelihood="normal")
        model.build((None, 3))
        _MODELS.append(model)
    return _MODELS[0]
