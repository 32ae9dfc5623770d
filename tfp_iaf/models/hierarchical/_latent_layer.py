"""One stochastic layer of a hierarchical VAE: its part of the way up from the image, and of the way down to it."""

import keras
import tensorflow as tf

from tfp_iaf import scales
from tfp_iaf.layers import density_dtype
from tfp_iaf.layers._weight_normalized import weight_normalized
from tfp_iaf.posteriors._conv_steps import conv_networks, conv_steps
from tfp_iaf.posteriors._noise import gaussian_log_prob

__all__ = ["POSTERIORS", "LatentLayer", "depth_to_space"]

POSTERIORS = ("diagonal", "linear", "iaf")
# How much of its second convolution a layer adds to what passes it by: with more, deep stacks diverge.
RESIDUAL_SCALE = 0.1


def depth_to_space(x, factor):
    """`tf.nn.depth_to_space`, the identity for a factor of 1."""
    return tf.nn.depth_to_space(x, factor) if factor > 1 else x


class LatentLayer(keras.layers.Layer):
    """A latent z of H x W x C with its prior p(z | above) and its posterior q(z | x, ...).

    ```none
    up(h):              a = act(h);  (loc_up, scale_up, context_up, d) = conv(a)
                        h <- shortcut(h) + 0.1 conv(act([d]))            bottom-up inference: conv(act([d, z]))
    down(g):            a = act(g);  (loc_p, scale_p, d, [loc_down, scale_down, context_down]) = conv(a)
                        g <- shortcut(g) + 0.1 conv(act([d, z]))
    p(z | above):       N(loc_p, scale_p^2)
    q(z | ...):         y ~ N(loc_up [+ loc_down], scale(up [+ down])^2),  z = the chain of steps of y with the context
    ```

    in brackets what bidirectional inference adds.

    Args:
        latent_shape: (H, W, C).
        filters: feature maps of both ways.
        stride: by how much the way up divides height and width, before the latent; the way down multiplies it after.
        is_top: whether no layer is above, so that the way up ends here.
        bidirectional: whether the posterior reads the way down too.
        posterior: "diagonal"; "linear", one location-only masked convolution; or "iaf".
        num_steps, flow_filters, bijector_fn: of "iaf": steps, hidden layers' maps, elementwise map.
        weight_norm: whether the convolutions are weight-normalized, the flows' masked ones too.
        **kwargs: `name`, `dtype` of `keras.layers.Layer`.

    Source: Kingma et al. 2016, section 5.2 and figure 3 of the final version.
    """

    def __init__(
        self,
        latent_shape,
        filters,
        stride,
        is_top,
        bidirectional,
        posterior,
        num_steps,
        flow_filters,
        bijector_fn,
        weight_norm,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.event_shape = tuple(latent_shape)
        self.filters = filters
        self.stride = stride
        self.is_top = is_top
        self.bidirectional = bidirectional
        self.bijector_fn = "location" if posterior == "linear" else bijector_fn
        self.networks = []
        if posterior != "diagonal":
            self.networks = conv_networks(
                1 if posterior == "linear" else num_steps,
                self.event_shape,
                self.bijector_fn,
                filters=() if posterior == "linear" else flow_filters,
                context_channels=filters if posterior == "iaf" else None,
                weight_norm=weight_norm,
                dtype=self.dtype_policy,
            )
        channels = self.event_shape[-1]
        context = filters if posterior == "iaf" else 0
        # What each first convolution is cut into.
        self._up_sizes = [channels, channels, context, 0 if is_top else filters]
        self._down_sizes = [channels, channels, filters] + ([channels, channels, context] if bidirectional else [])
        common = {"weight_norm": weight_norm, "dtype": self.dtype_policy}
        # Statistics start near those of N(0, 1).
        self.up_first = weight_normalized(
            keras.layers.Conv2D, sum(self._up_sizes), 3, stride, "same", initial_scale=0.1, name="up_first", **common
        )
        self.down_first = weight_normalized(
            keras.layers.Conv2D, sum(self._down_sizes), 3, 1, "same", initial_scale=0.1, name="down_first", **common
        )
        self.down_second = weight_normalized(
            keras.layers.Conv2D, filters * stride**2, 3, 1, "same", name="down_second", **common
        )
        self.up_second = self.up_shortcut = self.down_shortcut = None
        if not is_top:
            self.up_second = weight_normalized(keras.layers.Conv2D, filters, 3, 1, "same", name="up_second", **common)
            if stride > 1:
                self.up_shortcut = weight_normalized(
                    keras.layers.Conv2D, filters, stride, stride, "same", name="up_shortcut", **common
                )
        if stride > 1:
            self.down_shortcut = weight_normalized(keras.layers.Conv2D, filters * stride**2, 1, name="down_shortcut", **common)

    def build(self, input_shape=None):
        del input_shape  # All sizes are known.
        height, width, channels = self.event_shape
        above = (None, height, width, self.filters)
        below = (None, height * self.stride, width * self.stride, self.filters)
        with_z = (None, height, width, self.filters + channels)
        self.up_first.build(below)
        self.down_first.build(above)
        self.down_second.build(with_z)
        if self.up_second is not None:
            self.up_second.build(above if self.bidirectional else with_z)
        if self.up_shortcut is not None:
            self.up_shortcut.build(below)
        if self.down_shortcut is not None:
            self.down_shortcut.build(above)
        for network in self.networks:
            network.build((None, *self.event_shape))

    def read_up(self, h):
        """(what the way up says of the posterior, the residual input d) of h."""
        *statistics, d = tf.split(self.up_first(tf.nn.elu(h)), self._up_sizes, axis=-1)
        return self._in_density_dtype(statistics), d

    def go_up(self, h, d, z=None):
        """The next h, of the highest layer none; z is given in bottom-up inference."""
        if self.is_top:
            return h
        inputs = d if z is None else tf.concat([d, tf.cast(z, d.dtype)], axis=-1)
        shortcut = h if self.up_shortcut is None else self.up_shortcut(h)
        return shortcut + RESIDUAL_SCALE * self.up_second(tf.nn.elu(inputs))

    def read_down(self, g):
        """(the prior's loc and scale, what the way down says of the posterior or None, the residual input d) of g."""
        loc, scale, d, *statistics = tf.split(self.down_first(tf.nn.elu(g)), self._down_sizes, axis=-1)
        loc, scale = self._in_density_dtype([loc, scale])
        prior = loc, scales.softplus_scale(scale)
        return prior, self._in_density_dtype(statistics) if self.bidirectional else None, d

    def go_down(self, g, d, z):
        """The next g."""
        inputs = tf.nn.elu(tf.concat([d, tf.cast(z, d.dtype)], axis=-1))
        shortcut = g if self.down_shortcut is None else self.down_shortcut(g)
        outputs = shortcut + RESIDUAL_SCALE * self.down_second(inputs)
        return depth_to_space(outputs, self.stride)

    def sample_posterior(self, up, down, noise):
        """(z, log q of each entry) at this standard normal noise."""
        loc, scale, steps = self._posterior(up, down)
        z = loc + scale * noise
        log_q = gaussian_log_prob(noise, scale)
        for step in steps:
            z, log_derivatives = step.forward_and_log_derivatives(z)
            log_q -= log_derivatives
        return z, log_q

    def posterior_log_prob(self, up, down, z):
        """log q of a given z, summed over the event."""
        loc, scale, steps = self._posterior(up, down)
        log_q = 0.0
        for step in steps[::-1]:
            z, log_det = step.inverse_and_log_det(z)
            log_q -= log_det
        return log_q + tf.reduce_sum(gaussian_log_prob((z - loc) / scale, scale), axis=[-3, -2, -1])

    def _posterior(self, up, down):
        loc, scale, context = up if down is None else [a + b for a, b in zip(up, down)]
        context = context if context.shape[-1] else None
        steps = conv_steps(self.networks, context, self.bijector_fn)
        return loc, scales.softplus_scale(scale), steps

    def _in_density_dtype(self, values):
        return [tf.cast(value, density_dtype(self)) for value in values]
