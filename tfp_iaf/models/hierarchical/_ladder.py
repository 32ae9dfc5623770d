"""The deterministic network around the latents of a hierarchical VAE: up from the image, and down to it."""

import keras
import tensorflow as tf

from tfp_iaf.layers import ChannelLogScale, TrackedLayer, density_dtype, linear_layer
from tfp_iaf.models.hierarchical._stochastic_layer import StochasticLayer, depth_to_space

__all__ = ["Ladder"]


class Ladder(TrackedLayer):
    """The stochastic layers of a `HierarchicalVAE`, with latents z_1 ... z_L, z_1 nearest to the image.

    The ladder computes what the latents are conditioned on. The latents themselves come from a function that the caller
    passes: it may draw them, or return given ones.

    Args:
        make_posterior: a function latent shape (H, W, C) -> a new `posteriors.Posterior`.
        bidirectional: whether posteriors read the way down too; otherwise latents are drawn on the way up.
        centre, scale: an image x enters as (x - centre) / scale.
        has_log_scale: whether the likelihood takes a log-scale of each pixel value after the locations.
        image_shape, num_layers, filters, latent_channels, patch_size, condition_size, weight_norm, recompute: as in
            `HierarchicalVAE`.
        **kwargs: `name`, `dtype` of `keras.layers.Layer`.
    """

    def __init__(
        self,
        *,
        make_posterior,
        bidirectional,
        centre,
        scale,
        has_log_scale,
        image_shape,
        num_layers,
        filters,
        latent_channels,
        patch_size,
        condition_size,
        weight_norm,
        recompute,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.image_shape = image_shape
        self.filters = filters
        self.patch_size = patch_size
        self.condition_size = condition_size
        self.bidirectional = bidirectional
        self.centre = centre
        self.scale = scale
        self.recompute = recompute
        common = {"weight_norm": weight_norm, "dtype": self.dtype_policy}
        self.read_image = linear_layer(
            keras.layers.Conv2D, filters, 2 * patch_size + 1, patch_size, "same", name="read_image", **common
        )
        # The first half of its maps goes up with the image, the second comes down from the top.
        self.read_condition = (
            None if condition_size is None else linear_layer(keras.layers.Dense, 2 * filters, name="read_condition", **common)
        )
        self.stochastic_layers = []
        for resolution, count in enumerate(num_layers):
            divisor = patch_size * 2**resolution
            latent_shape = (image_shape[0] // divisor, image_shape[1] // divisor, latent_channels)
            for k in range(count):
                number = len(self.stochastic_layers) + 1
                self.stochastic_layers.append(
                    StochasticLayer(
                        make_posterior(latent_shape),
                        filters=filters,
                        stride=2 if resolution > 0 and k == 0 else 1,
                        is_top=number == sum(num_layers),
                        bidirectional=bidirectional,
                        name=f"stochastic_layer_{number}",
                        **common,
                    )
                )
        self.write_image = linear_layer(
            keras.layers.Conv2D, image_shape[-1] * patch_size**2, 3, 1, "same", initial_scale=0.1, name="write_image", **common
        )
        # In full precision, as are the likelihood's parameters.
        self.log_scale = ChannelLogScale(name="log_scale", dtype=density_dtype(self)) if has_log_scale else None

    def build(self, input_shape=None):
        del input_shape  # All sizes are known.
        self.read_image.build((None, *self.image_shape))
        if self.read_condition is not None:
            self.read_condition.build((None, self.condition_size))
        for layer in self.stochastic_layers:
            layer.build()
        height, width, _ = self.stochastic_layers[0].event_shape
        self.write_image.build((None, height, width, self.filters))
        if self.log_scale is not None:
            self.log_scale.build((None, *self.image_shape))
        # What comes down into the highest layer, the same at every pixel.
        self.top = self.add_weight(name="top", shape=(self.filters,), initializer="zeros")

    def condition_maps(self, condition):
        """What a condition `[B, condition_size]` adds to each pixel on the way up, and on the way down: `[B, 1, 1, filters]`.

        Without a condition nothing is added: (None, None).
        """
        if condition is None:
            return None, None
        maps = self.read_condition(tf.cast(condition, self.compute_dtype))
        return tuple(tf.split(maps[:, tf.newaxis, tf.newaxis], 2, axis=-1))

    def features(self, x, condition_map):
        """The first feature maps of images x `[B, H, W, C]`: all that the way up reads.

        Args:
            x: the images.
            condition_map: what `condition_maps` gave for the way up.
        """
        h = self.read_image(tf.cast((x - self.centre) / self.scale, self.compute_dtype))
        return h if condition_map is None else h + condition_map

    def up_and_down(self, h, condition_map, num_samples, latent, training=False):
        """Up from the image's features and down to the image.

        Args:
            h: `features` of B images.
            condition_map: what `condition_maps` gave for the way down.
            num_samples: S; rows are S * B.
            latent: a function (index of the layer, the posterior's statistics `[rows, H, W, maps]`) ->
                (z `[rows, H, W, C]`, log q `[rows, groups]`), whose groups are the layer's own or one.
            training: whether gradients will be asked for.

        Returns:
            Lists of z, log q and log p `[rows, groups]` of every layer, and the likelihood's parameters.
        """
        wrap = tf.recompute_grad if self.recompute and training else lambda function: function
        count = len(self.stochastic_layers)
        z, log_q, log_p, inputs = ([None] * count for _ in range(4))
        num_rows = num_samples * tf.shape(h)[0]

        def repeated(value):
            return tf.tile(value, [num_samples, 1, 1, 1])

        def up(index, layer):
            def pass_layer(h):
                statistics, d = layer.read_up(h)
                if self.bidirectional:
                    return layer.go_up(h, d), statistics
                z, log_q = latent(index, statistics)
                return layer.go_up(h, d, z), z, log_q

            return wrap(pass_layer)

        def down(index, layer, g):
            # What has a gradient comes in as an argument: `tf.recompute_grad` sees no others.
            def pass_layer(g, found_on_the_way_up):
                prior, from_above, d = layer.read_down(g)
                if not self.bidirectional:
                    z = found_on_the_way_up
                    return layer.go_down(g, d, z), layer.prior_log_prob(prior, z)
                z, log_q = latent(index, found_on_the_way_up + from_above)
                return layer.go_down(g, d, z), layer.prior_log_prob(prior, z), z, log_q

            g, log_p[index], *drawn = wrap(pass_layer)(g, inputs[index])
            if drawn:
                z[index], log_q[index] = drawn
            return g

        if not self.bidirectional:
            h = repeated(h)
        for index, layer in enumerate(self.stochastic_layers):
            if self.bidirectional:
                h, statistics = up(index, layer)(h)
                inputs[index] = repeated(statistics)
            else:
                h, z[index], log_q[index] = up(index, layer)(h)
                inputs[index] = z[index]
        condition_map = None if condition_map is None else repeated(condition_map)
        parameters = self._descend(num_rows, condition_map, down)
        return z, log_q, log_p, parameters

    def down(self, num_rows, condition_map, latent):
        """The likelihood's parameters.

        Args:
            num_rows: the number of rows.
            condition_map: what `condition_maps` gave for the way down, of as many rows.
            latent: a function (index of the layer, the prior's loc and scale) -> z.
        """

        def pass_layer(index, layer, g):
            prior, _, d = layer.read_down(g)
            return layer.go_down(g, d, latent(index, prior))

        return self._descend(num_rows, condition_map, pass_layer)

    def _descend(self, num_rows, condition_map, pass_layer):
        height, width, _ = self.stochastic_layers[-1].event_shape
        top = tf.cast(self.top, self.compute_dtype)
        top = top if condition_map is None else top + condition_map
        g = tf.broadcast_to(top, [num_rows, height, width, self.filters])
        for index, layer in reversed(list(enumerate(self.stochastic_layers))):
            g = pass_layer(index, layer, g)
        image = tf.cast(depth_to_space(self.write_image(tf.nn.elu(g)), self.patch_size), density_dtype(self))
        return image if self.log_scale is None else self.log_scale(image)
