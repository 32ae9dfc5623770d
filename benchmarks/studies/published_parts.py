"""What the published small MLP does otherwise than this package: its gate, scale, degrees, first weights and optimizer."""

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import bijectors, networks, posteriors


class UnboundedGate(bijectors.ElementwiseMap):
    """z = s y + (1 - s) m with s = sigmoid(gate + 2), and no bound on the gate."""

    params = 2

    def forward(self, y, parameters):
        m, gate = parameters[..., 0], parameters[..., 1] + 2.0
        s = tf.sigmoid(gate)
        return s * y + (1.0 - s) * m, tf.math.log_sigmoid(gate)

    def inverse(self, z, parameters):
        m, gate = parameters[..., 0], parameters[..., 1] + 2.0
        return (z - m) * (1.0 + tf.exp(-gate)) + m, tf.math.log_sigmoid(gate)


class PublishedPosterior(posteriors.Posterior):
    """A Gaussian with scale softplus(u), and gated flows whose hidden units all read at least one entry of the latent.

    Args:
        latent_size: D, also the size of the context.
        num_flows: K; 0 for the diagonal Gaussian.
        hidden_units: widths of each network's hidden layers.
        seed: of the noise.
    """

    def __init__(self, latent_size, num_flows, hidden_units, seed=None):
        super().__init__(latent_size, seed=seed)
        degrees = [np.ceil(np.linspace(1, latent_size - 1, width)).astype(int).tolist() for width in hidden_units]
        self.networks = [
            networks.AutoregressiveNetwork(
                params=UnboundedGate.params,
                event_shape=latent_size,
                hidden_units=hidden_units,
                context_size=latent_size,
                # A reversal after a flow is the reversed order of the next.
                input_order=("left-to-right", "right-to-left")[k % 2],
                activation="relu",
                hidden_degrees=degrees,
                name=f"flow_{k + 1}",
            )
            for k in range(num_flows)
        ]

    @property
    def flow_size(self):
        return self.latent_size if self.networks else 0

    def base_scale(self, loc, unconstrained):
        del loc
        return tf.math.softplus(unconstrained)

    def flows(self, flow_inputs):
        return [
            bijectors.InverseAutoregressiveFlow(network, context=flow_inputs, bijector_fn=UnboundedGate())
            for network in self.networks
        ]


def initialize(model, seed):
    """Draws all weights of a VAE of dense layers and a `PublishedPosterior` from U(-1, 1) / sqrt(inputs of the layer)."""
    rng = np.random.default_rng(seed)

    def draw(weights, num_inputs):
        for weight in weights:
            weight.assign(rng.uniform(-1.0, 1.0, weight.shape) / np.sqrt(num_inputs))

    posterior = model.posterior
    readers = [layer for layer in (posterior.base_layer, posterior.flow_layer) if layer is not None]
    for layer in [*model.encoder.layers, *readers, *model.decoder.layers]:
        if layer.trainable_weights:
            draw(layer.trainable_weights, layer.kernel.shape[0])
    for network in posterior.networks:
        for layer in [*network.hidden_layers, network.output_layer]:
            draw(layer.trainable_weights, len(layer.in_degrees))
        draw(network.context_kernels[:1], network.context_size)


class CenteredRMSprop(keras.optimizers.Optimizer):
    """Centered RMSprop with epsilon outside the root; Keras has it inside.

    ```none
    v = rho v + (1 - rho) g^2;   m = rho m + (1 - rho) g;   w = w - rate g / (sqrt(v - m^2) + epsilon)
    ```

    Args:
        learning_rate: of `keras.optimizers.Optimizer`.
        rho: of both averages.
        epsilon: of the gradients of a mean over the batch. Gradients of a sum are larger by the batch size, and so is their
            epsilon for the same steps.
    """

    def __init__(self, learning_rate, rho=0.99, epsilon=1e-8, name="centered_rmsprop", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.rho = rho
        self.epsilon = epsilon

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._squares, self._means = (
            [self.add_variable_from_reference(variable, name=name) for variable in variables] for name in ("square", "mean")
        )

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        square = self.rho * self._squares[index] + (1.0 - self.rho) * tf.square(gradient)
        mean = self.rho * self._means[index] + (1.0 - self.rho) * gradient
        self.assign(self._squares[index], square)
        self.assign(self._means[index], mean)
        # At least 0: rounding can leave a variance below it.
        deviation = tf.sqrt(tf.maximum(square - tf.square(mean), 0.0))
        self.assign_sub(variable, tf.cast(learning_rate, gradient.dtype) * gradient / (deviation + self.epsilon))

    def get_config(self):
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}
