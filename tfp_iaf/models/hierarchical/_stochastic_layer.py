"""One stochastic layer of a hierarchical VAE: a latent with its prior and posterior, and the convolutions around it."""

import keras
import tensorflow as tf

from tfp_iaf import scales
from tfp_iaf.layers import density_dtype, linear_layer
from tfp_iaf.noise import gaussian_log_prob

__all__ = ["StochasticLayer", "depth_to_space"]

# How much of its second convolution a layer adds to what passes it by: with more, deep stacks diverge.
RESIDUAL_SCALE = 0.1


def depth_to_space(x, factor):
    """`tf.nn.depth_to_space`, the identity for a factor of 1."""
    return tf.nn.depth_to_space(x, factor) if factor > 1 else x


class StochasticLayer(keras.layers.Layer):
    """A latent z of H x W x C with its prior p(z | above) and its posterior q(z | x, ...).

    ```none
    up(h):              a = elu(h);  (statistics_up, d) = conv(a)
                        h <- shortcut(h) + 0.1 conv(elu([d]))            bottom-up inference: conv(elu([d, z]))
    down(g):            a = elu(g);  (loc_p, scale_p, d, [statistics_down]) = conv(a)
                        g <- shortcut(g) + 0.1 conv(elu([d, z]))
    p(z | above):       N(loc_p, scale_p^2)
    q(z | ...):         the posterior's, at (loc, scale, flow inputs) = statistics_up [+ statistics_down]
    ```

    In brackets: what bidirectional inference adds.

    Args:
        posterior: a `posteriors.Posterior` over latents of shape (H, W, C), with statistics of H x W maps.
        filters: feature maps of both ways.
        stride: by how much the way up divides height and width, before the latent; the way down multiplies it after.
        is_top: whether no layer is above, so that the way up ends here.
        bidirectional: whether the posterior reads the way down too.
        weight_norm: whether the convolutions are weight-normalized.
        **kwargs: `name`, `dtype` of `keras.layers.Layer`.

    Source: Kingma et al. 2016, section 5.2 and figure 3 of the final version.
    """

    def __init__(self, posterior, *, filters, stride, is_top, bidirectional, weight_norm, **kwargs):
        super().__init__(**kwargs)
        self.posterior = posterior
        self.event_shape = tuple(posterior.event_shape)
        self.filters = filters
        self.stride = stride
        self.is_top = is_top
        self.bidirectional = bidirectional
        statistics = sum(posterior.parameter_sizes)
        # What each first convolution is cut into.
        self._up_sizes = [statistics] if is_top else [statistics, filters]
        self._down_sizes = [2 * self.event_shape[-1], filters] + ([statistics] if bidirectional else [])

        def convolution(name, maps, kernel_size, strides=1, initial_scale=1.0):
            return linear_layer(
                keras.layers.Conv2D,
                maps,
                kernel_size,
                strides,
                "same",
                initial_scale=initial_scale,
                weight_norm=weight_norm,
                dtype=self.dtype_policy,
                name=name,
            )

        # Statistics start near those of N(0, 1).
        self.up_first = convolution("up_first", sum(self._up_sizes), 3, stride, initial_scale=0.1)
        self.down_first = convolution("down_first", sum(self._down_sizes), 3, initial_scale=0.1)
        self.down_second = convolution("down_second", filters * stride**2, 3)
        self.up_second = None if is_top else convolution("up_second", filters, 3)
        self.up_shortcut = self.down_shortcut = None
        if stride > 1:
            self.down_shortcut = convolution("down_shortcut", filters * stride**2, 1)
            if not is_top:
                self.up_shortcut = convolution("up_shortcut", filters, stride, stride)

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
        self.posterior.build_flows()
        self._splits_by_entry = self.posterior.splits_by_entry

    @property
    def num_groups(self):
        """The number of groups whose KL is known: the feature maps of z, or one if the flows do not split by entry."""
        return self.event_shape[-1] if self._splits_by_entry else 1

    def read_up(self, h):
        """(what the way up says of the posterior, the residual input d or None in the highest layer) of h."""
        statistics, *d = tf.split(self.up_first(tf.nn.elu(h)), self._up_sizes, axis=-1)
        return tf.cast(statistics, density_dtype(self)), d[0] if d else None

    def go_up(self, h, d, z=None):
        """The next h, of the highest layer none; z is given in bottom-up inference."""
        if self.is_top:
            return h
        inputs = d if z is None else tf.concat([d, tf.cast(z, d.dtype)], axis=-1)
        shortcut = h if self.up_shortcut is None else self.up_shortcut(h)
        return shortcut + RESIDUAL_SCALE * self.up_second(tf.nn.elu(inputs))

    def read_down(self, g):
        """(the prior's loc and scale, what the way down says of the posterior or None, the residual input d) of g."""
        prior, d, *statistics = tf.split(self.down_first(tf.nn.elu(g)), self._down_sizes, axis=-1)
        loc, unconstrained = tf.split(tf.cast(prior, density_dtype(self)), 2, axis=-1)
        from_above = tf.cast(statistics[0], density_dtype(self)) if statistics else None
        return (loc, scales.softplus_scale(unconstrained)), from_above, d

    def go_down(self, g, d, z):
        """The next g."""
        inputs = tf.nn.elu(tf.concat([d, tf.cast(z, d.dtype)], axis=-1))
        shortcut = g if self.down_shortcut is None else self.down_shortcut(g)
        outputs = shortcut + RESIDUAL_SCALE * self.down_second(inputs)
        return depth_to_space(outputs, self.stride)

    def draw(self, statistics, noise):
        """(z, log q of each group `[rows, num_groups]`) at this standard normal noise."""
        z, log_q = self.posterior.draw(self._parameters(statistics), noise, by_entry=self._splits_by_entry)
        return z, tf.reduce_sum(log_q, axis=[1, 2]) if self._splits_by_entry else log_q[:, tf.newaxis]

    def log_prob_at(self, statistics, z):
        """log q of a given z, `[rows, 1]`."""
        return self.posterior.log_prob_at(self._parameters(statistics), z)[:, tf.newaxis]

    def prior_log_prob(self, prior, z):
        """log p of z, summed over the same groups as log q, `[rows, num_groups]`."""
        loc, scale = prior
        log_p = gaussian_log_prob((z - loc) / scale, scale)
        return (
            tf.reduce_sum(log_p, axis=[1, 2]) if self._splits_by_entry else tf.reduce_sum(log_p, axis=[1, 2, 3])[:, tf.newaxis]
        )

    def _parameters(self, statistics):
        loc, unconstrained, flow_inputs = tf.split(statistics, self.posterior.parameter_sizes, axis=-1)
        return loc, unconstrained, flow_inputs if flow_inputs.shape[-1] else None
