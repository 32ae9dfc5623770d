import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import properties, reference
from tfp_iaf.bijectors import InverseAutoregressiveFlow
from tfp_iaf.layers import MaskedConv, MaskedDense, WeightNormalization, initialize_weight_normalization
from tfp_iaf.networks import AutoregressiveNetwork, ConvAutoregressiveNetwork

LAYERS = {
    "dense": (lambda **kwargs: keras.layers.Dense(5, use_bias=False, **kwargs), (4,)),
    "dense over images": (lambda **kwargs: keras.layers.Dense(5, use_bias=False, **kwargs), (3, 4)),
    "conv 1d": (lambda **kwargs: keras.layers.Conv1D(5, 3, padding="causal", use_bias=False, **kwargs), (7, 4)),
    "conv 2d": (lambda **kwargs: keras.layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False, **kwargs), (6, 6, 4)),
    "grouped conv": (lambda **kwargs: keras.layers.Conv2D(6, 1, groups=2, use_bias=False, **kwargs), (6, 6, 4)),
    "conv 3d": (lambda **kwargs: keras.layers.Conv3D(5, 2, use_bias=False, **kwargs), (4, 4, 4, 2)),
    "transposed": (lambda **kwargs: keras.layers.Conv2DTranspose(5, 3, strides=2, use_bias=False, **kwargs), (4, 4, 3)),
    "masked dense": (lambda **kwargs: MaskedDense([1, 2, 3], [3, 1, 2, 2], use_bias=False, **kwargs), (3,)),
    "masked blocks": (lambda **kwargs: MaskedDense([1, 2, 3], [3, 2, 2, 1], use_bias=False, num_blocks=2, **kwargs), (3,)),
    "masked conv": (lambda **kwargs: MaskedConv([1, 2], [2, 1, 2], use_bias=False, **kwargs), (4, 4, 2)),
    "masked series": (lambda **kwargs: MaskedConv([1, 2], [2, 1, 2], use_bias=False, kernel_size=(2,), **kwargs), (6, 2)),
}
every_layer = pytest.mark.parametrize("kind", LAYERS)


def make(kind, rows=64, initial_mean=0.0, initial_scale=1.0, **kwargs):
    """A built layer with random gains and biases, and inputs."""
    layer_fn, shape = LAYERS[kind]
    layer = WeightNormalization(layer_fn(**kwargs), initial_mean, initial_scale)
    layer.build((None, *shape))
    x = np.random.default_rng(0).normal(2.0, 3.0, size=[rows, *shape]).astype(layer.compute_dtype)
    return layer, x


def moments(t):
    t = np.reshape(t, [-1, t.shape[-1]])
    return t.mean(axis=0), t.std(axis=0)


@every_layer
def test_starts_as_the_plain_layer_scaled(kind):
    layer, x = make(kind)
    np.testing.assert_allclose(layer(x), layer.layer(x), rtol=1e-4, atol=1e-5)
    scaled, _ = make(kind, initial_mean=0.5, initial_scale=0.1)
    np.testing.assert_allclose(scaled(x), 0.5 + 0.1 * scaled.layer(x), rtol=1e-4, atol=1e-5)


@every_layer
def test_formula(kind):
    layer, x = make(kind, dtype="float64")
    properties.randomize(layer)
    v = layer.layer.kernel.numpy()
    units_last = np.moveaxis(v, -2, -1) if kind == "transposed" else v
    norm = np.sqrt((units_last.reshape([-1, units_last.shape[-1]]) ** 2).sum(axis=0))
    expected = layer.layer(x) * layer.gain.numpy() / norm + layer.bias.numpy()
    np.testing.assert_allclose(layer(x), expected, rtol=1e-10, atol=1e-10)
    kernel = layer.kernel.numpy()
    kernel = np.moveaxis(kernel, -2, -1) if kind == "transposed" else kernel
    np.testing.assert_allclose(kernel, units_last / norm * layer.gain.numpy(), rtol=1e-10)


@every_layer
@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (0.5, 0.1)])
def test_data_dependent_initialization(kind, mean, scale):
    layer, x = make(kind, initial_mean=mean, initial_scale=scale)
    assert initialize_weight_normalization(layer, x) == [layer]
    means, stds = moments(layer(x))
    np.testing.assert_allclose(means, mean, atol=1e-4)
    np.testing.assert_allclose(stds, scale, rtol=1e-3)


NETWORKS = {
    "dense": (
        lambda **kw: AutoregressiveNetwork(2, 6, (40, 40), context_size=3, activation="elu", num_blocks=2, **kw),
        [6],
        [3],
    ),
    "conv": (lambda **kw: ConvAutoregressiveNetwork(2, (4, 4, 3), (12, 12), context_channels=2, **kw), [4, 4, 3], [4, 4, 2]),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_inside_an_autoregressive_network(kind):
    """Every layer's outputs have the asked moments, those of the last are small; formula and order are as without."""
    make_network, y_shape, context_shape = NETWORKS[kind]
    network = make_network(weight_norm=True, dtype="float64")
    rng = np.random.default_rng(0)
    y, context = (rng.normal(2.0, 3.0, size=[64, *shape]) for shape in (y_shape, context_shape))
    start = network(y, context=context).numpy()
    assert 0.0 < np.abs(start).max() < 0.2
    layers = initialize_weight_normalization(network, y, context=context)
    assert layers == [*network.hidden_layers, network.output_layer]
    parameters, pre_activations = network.evaluate(y, context)
    # The context comes in behind the first layer, and the first entry's parameters read nothing else.
    first = pre_activations[0] - context @ network.context_kernels[0]
    for outputs, scale in ((first, 1.0), (pre_activations[1], 1.0), (parameters.numpy().reshape([*y.shape[:-1], -1]), 1e-2)):
        means, stds = moments(np.asarray(outputs))
        varies = stds > 1e-9
        assert varies.sum() > 0.5 * len(varies)
        np.testing.assert_allclose(means, 0.0, atol=1e-6)
        np.testing.assert_allclose(stds[varies], scale, rtol=1e-6)
    properties.randomize(network)
    weights, rows = reference.weights_of(network), range(3)
    if kind == "dense":
        expected = [reference.made(weights, network.degrees, y[i], context[i], 2) for i in rows]
    else:
        expected = [reference.conv_made(weights, y[i], context[i], 2) for i in rows]
    np.testing.assert_allclose(network(y[:3], context=context[:3]), expected, atol=1e-10)
    assert type(network).from_config(network.get_config()).weight_norm


def test_initialization_through_an_inverse_is_refused():
    network = AutoregressiveNetwork(2, 4, (8,), weight_norm=True)
    network.build()

    class Inverting(keras.layers.Layer):
        def call(self, z):
            return InverseAutoregressiveFlow(network, inverse="fixed_point").inverse(z)

    with pytest.raises(ValueError, match="inside the inverse of a flow"):
        initialize_weight_normalization(Inverting(), np.ones([5, 4], "float32"))


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("functional", [False, True])
def test_stack_initializes_in_sequence(built, functional):
    layers = [
        WeightNormalization(keras.layers.Conv2D(6, 3, strides=2, use_bias=False)),
        keras.layers.ELU(),
        WeightNormalization(keras.layers.Conv2DTranspose(4, 3, use_bias=False)),
        keras.layers.Flatten(),
        WeightNormalization(keras.layers.Dense(5, use_bias=False), initial_mean=1.0, initial_scale=0.3),
    ]
    x = np.random.default_rng(0).normal(3.0, 20.0, size=[64, 7, 7, 2]).astype(np.float32)
    if functional:
        inputs = y = keras.Input([7, 7, 2])
        for layer in layers:
            y = layer(y)
        model = keras.Model(inputs, y)
    else:
        model = keras.Sequential(layers)
        if built:
            model.build((None, 7, 7, 2))
    assert initialize_weight_normalization(model, x) == layers[::2]
    y = x
    for layer in layers:
        y = layer(y)
        if isinstance(layer, WeightNormalization):
            means, stds = moments(y.numpy())
            np.testing.assert_allclose(means, 1.0 if layer is layers[-1] else 0.0, atol=1e-4)
            np.testing.assert_allclose(stds, 0.3 if layer is layers[-1] else 1.0, rtol=1e-3)


def test_a_layer_reached_twice_takes_its_first_inputs():
    layer = WeightNormalization(keras.layers.Dense(3, use_bias=False))
    inputs = keras.Input([3])
    model = keras.Model(inputs, layer(layer(inputs)))
    x = np.random.default_rng(0).normal(1.0, 5.0, size=[50, 3]).astype(np.float32)
    assert initialize_weight_normalization(model, x) == [layer]
    np.testing.assert_allclose(moments(layer(x).numpy()), [[0.0] * 3, [1.0] * 3], atol=1e-4)


def test_calls_after_initialization_leave_the_weights_alone():
    layer, x = make("dense")
    initialize_weight_normalization(layer, x)
    before = [weight.numpy() for weight in layer.weights]
    layer(10.0 * x)
    for weight, start in zip(layer.weights, before):
        np.testing.assert_array_equal(weight.numpy(), start)


def test_units_that_do_not_vary_get_the_mean():
    layer = WeightNormalization(
        MaskedDense([1, 2], [1, 2, 3], strict=True, use_bias=False), initial_mean=0.5, initial_scale=0.2, dtype="float32"
    )
    x = np.random.default_rng(0).normal(size=[40, 2]).astype(np.float32)
    x[:, 0] = 3.0
    initialize_weight_normalization(layer, x)
    # The first unit reads nothing; the second reads a constant.
    np.testing.assert_allclose(layer(x)[:, :2], np.full([40, 2], 0.5), atol=1e-6)
    np.testing.assert_allclose(layer.gain.numpy()[:2], [0.2, 0.2])
    assert moments(layer(x).numpy())[1][2] == pytest.approx(0.2, rel=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_unit_that_reads_nothing_has_finite_gradients(jit_compile, dtype):
    layer = WeightNormalization(MaskedDense([1, 2], [1, 2, 3], strict=True, use_bias=False, dtype=dtype))
    x = tf.constant([[1.0, 2.0]], dtype)
    layer.build(x.shape)
    layer.gain.assign([1.0, 2.0, 3.0])
    layer.bias.assign([5.0, 6.0, 7.0])

    @tf.function(jit_compile=jit_compile)
    def value_and_gradients():
        with tf.GradientTape() as tape:
            y = layer(x)
            loss = tf.reduce_sum(y**2)
        return y, tape.gradient(loss, [weight.value for weight in layer.trainable_weights])

    y, gradients = value_and_gradients()
    assert y[0, 0] == 5.0
    assert len(gradients) == 3
    for gradient in gradients:
        assert np.isfinite(gradient).all()
    assert np.abs(gradients[0]).max() > 0


@pytest.mark.parametrize("kind", ["dense", "conv 2d", "transposed", "masked dense", "masked blocks"])
def test_gradients_do_not_change_the_direction_s_length(kind):
    """The kernel's gradient is orthogonal to the kernel (Salimans and Kingma 2016, equation 3), and not zero."""
    layer, x = make(kind, dtype="float64")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(layer(x)))
        by_kernels = tape.gradient(loss, [weight.value for weight in layer.layer.trainable_weights])
    products = sum(tf.reduce_sum(gradient * weight) for gradient, weight in zip(by_kernels, layer.layer.trainable_weights))
    assert abs(float(products)) < 1e-9
    assert max(np.abs(gradient).max() for gradient in by_kernels) > 1e-3


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "bfloat16", "float64"])
@pytest.mark.parametrize("kind", ["dense", "conv 2d"])
def test_every_policy(kind, policy):
    layer, x = make(kind, dtype=policy)
    assert layer.dtype_policy.name == policy
    assert {weight.dtype for weight in layer.weights} == {layer.variable_dtype}
    y = layer(x)
    assert y.dtype == layer.compute_dtype
    exact, _ = make(kind, dtype="float64")
    exact.set_weights([weight.numpy().astype("float64") for weight in layer.weights])
    tolerance = 0.05 if "bfloat16" in policy else 1e-5
    np.testing.assert_allclose(tf.cast(y, "float64"), exact(x.astype("float64")), atol=tolerance * np.abs(exact(x)).max())
    initialize_weight_normalization(layer, x)
    np.testing.assert_allclose(moments(tf.cast(layer(x), "float32").numpy())[1], 1.0, rtol=0.02)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_without_building_first_and_keras_file(jit_compile, tmp_path):
    """Its weights are made inside of `fit`, yet the gain starts from the kernel's norm; all of them move."""

    class Wrapped(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = WeightNormalization(keras.layers.Dense(2, use_bias=False))

        def call(self, x):
            return self.layer(x)

    rng = np.random.default_rng(0)
    x = rng.normal(size=[64, 3]).astype(np.float32)
    y = x @ rng.normal(size=[3, 2]).astype(np.float32) + 1.0
    model = Wrapped()
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=jit_compile)
    model.fit(x, y, verbose=0)
    np.testing.assert_allclose(model.layer.gain, np.linalg.norm(model.layer.layer.kernel, axis=0), rtol=1e-5)

    model = keras.Sequential(
        [
            keras.layers.Reshape((3, 1, 1)),
            WeightNormalization(keras.layers.Conv2D(4, (2, 1), use_bias=False), 0.1, 0.5),
            keras.layers.Flatten(),
            WeightNormalization(keras.layers.Dense(2, use_bias=False)),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=jit_compile)
    model.build((None, 3))
    before = [weight.numpy() for weight in model.trainable_weights]
    losses = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]
    for weight, start in zip(model.trainable_weights, before):
        assert np.abs(weight.numpy() - start).max() > 0
    assert len(before) == 6
    model.save(tmp_path / "model.keras")
    restored = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(restored(x), model(x))
    assert (restored.layers[1].initial_mean, restored.layers[1].initial_scale) == (0.1, 0.5)


def test_symbolic_shape():
    layer = WeightNormalization(keras.layers.Conv2DTranspose(5, 3, strides=2, padding="same", use_bias=False))
    assert layer(keras.Input((4, 4, 3))).shape == (None, 8, 8, 5)


@pytest.mark.parametrize(
    ("layer", "kwargs", "message"),
    [
        (lambda: keras.layers.Dense(3), {}, "use_bias=False"),
        (lambda: keras.layers.Dense(3, "relu", use_bias=False), {}, "without activation"),
        (lambda: keras.layers.Flatten(), {}, "a layer with a kernel"),
        (lambda: 3, {}, "layer must be a Keras layer"),
        (lambda: keras.layers.Conv2D(3, 1, use_bias=False, data_format="channels_first"), {}, "channels_last"),
        (lambda: keras.layers.Dense(3, use_bias=False, kernel_initializer="zeros"), {}, "no direction"),
        (lambda: keras.layers.Dense(3, use_bias=False), {"initial_scale": -1.0}, "initial_scale must be"),
        (lambda: keras.layers.Dense(3, use_bias=False), {"initial_mean": np.nan}, "initial_mean must be"),
    ],
)
def test_bad_arguments(layer, kwargs, message):
    with pytest.raises(ValueError, match=message):
        WeightNormalization(layer(), **kwargs)


@pytest.mark.parametrize(
    "layer_class", [keras.layers.DepthwiseConv2D, lambda *a, **k: keras.layers.SeparableConv2D(5, *a, **k)]
)
def test_layers_without_a_column_a_unit(layer_class):
    with pytest.raises(ValueError, match="a column for each"):
        WeightNormalization(layer_class(3, use_bias=False)).build((None, 6, 6, 4))


def test_bad_initializations():
    layer, x = make("dense")
    with pytest.raises(ValueError, match=r"not inside a tf\.function"):
        tf.function(lambda: initialize_weight_normalization(layer, x))()
    with pytest.raises(ValueError, match="eagerly"):
        initialize_weight_normalization(keras.layers.Lambda(lambda x: tf.function(layer)(x)), x)
    with pytest.raises(ValueError, match="NaN or infinite"):
        initialize_weight_normalization(layer, np.full_like(x, np.nan))
    with pytest.raises(ValueError, match="no WeightNormalization layer"):
        initialize_weight_normalization(keras.layers.Dense(3), x)


def test_low_rank_updates_are_part_of_the_kernel():
    layer = WeightNormalization(keras.layers.Conv2D(4, 3, padding="same", use_bias=False))
    x = np.random.default_rng(0).normal(size=[2, 5, 5, 3]).astype(np.float32)
    layer(x)
    layer.layer.enable_lora(2)
    layer.layer.lora_kernel_b.assign(np.random.default_rng(1).normal(size=layer.layer.lora_kernel_b.shape))
    np.testing.assert_allclose(layer(x), tf.nn.conv2d(x, layer.kernel, 1, "SAME") + layer.bias, atol=1e-5)


def test_a_quantized_kernel_is_refused():
    layer = WeightNormalization(keras.layers.Dense(3, use_bias=False))
    layer(np.ones([1, 4], np.float32))
    layer.layer.quantize("int8")
    with pytest.raises(ValueError, match=r"quantize has rounded the kernel inside .* weight_norm=False"):
        layer(np.ones([1, 4], np.float32))


def test_penalties_on_outputs_are_kept():
    layer = WeightNormalization(keras.layers.Conv2D(4, 3, use_bias=False, activity_regularizer="l2"))
    layer(np.ones([1, 5, 5, 3], np.float32))
    assert len(layer.losses) == 1
