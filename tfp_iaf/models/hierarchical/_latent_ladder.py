"""The deterministic network around the latents of a hierarchical VAE: up from the image, and down to it."""

import keras
import tensorflow as tf

from tfp_iaf.layers import density_dtype
from tfp_iaf.layers._checkpointed import Checkpointed
from tfp_iaf.layers._weight_normalized import weight_normalized
from tfp_iaf.layers.channel_log_scale import ChannelLogScale
from tfp_iaf.models.hierarchical._latent_layer import LatentLayer, depth_to_space
from tfp_iaf.posteriors._noise import gaussian_log_prob

__all__ = ["LatentLadder"]


class LatentLadder(keras.layers.Layer):
    """The layers z_1 ... z_L of a `HierarchicalVAE`, z_1 nearest to the image. Where z comes from is the caller's.

    Args:
        image_shape, num_layers, filters, latent_channels, patch_size, posterior, num_steps, flow_filters, bijector_fn,
            weight_norm, recompute: as in `HierarchicalVAE`.
        bidirectional: whether posteriors read the way down too; otherwise latents are drawn on the way up.
        takes_levels: whether pixels are integers 0 to 255, not 0 and 1.
        **kwargs: `name`, `dtype` of `keras.layers.Layer`.
    """

    def __init__(
        self,
        image_shape,
        num_layers,
        filters,
        latent_channels,
        patch_size,
        bidirectional,
        posterior,
        num_steps,
        flow_filters,
        bijector_fn,
        weight_norm,
        recompute,
        takes_levels,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.image_shape = image_shape
        self.filters = filters
        self.patch_size = patch_size
        self.bidirectional = bidirectional
        self.recompute = recompute
        self.takes_levels = takes_levels
        common = {"weight_norm": weight_norm, "dtype": self.dtype_policy}
        self.read_image = weight_normalized(
            keras.layers.Conv2D, filters, 2 * patch_size + 1, patch_size, "same", name="read_image", **common
        )
        self.latent_layers = []
        for resolution, count in enumerate(num_layers):
            divisor = patch_size * 2**resolution
            for k in range(count):
                self.latent_layers.append(
                    LatentLayer(
                        (image_shape[0] // divisor, image_shape[1] // divisor, latent_channels),
                        filters,
                        stride=2 if resolution > 0 and k == 0 else 1,
                        is_top=len(self.latent_layers) == sum(num_layers) - 1,
                        bidirectional=bidirectional,
                        posterior=posterior,
                        num_steps=num_steps,
                        flow_filters=flow_filters,
                        bijector_fn=bijector_fn,
                        name=f"latent_{len(self.latent_layers) + 1}",
                        **common,
                    )
                )
        self.write_image = weight_normalized(
            keras.layers.Conv2D, image_shape[-1] * patch_size**2, 3, 1, "same", initial_scale=0.1, name="write_image", **common
        )
        # In full precision: the likelihood's parameters are.
        self.log_scale = ChannelLogScale(name="log_scale", dtype=density_dtype(self)) if takes_levels else None

    def build(self, input_shape=None):
        del input_shape  # All sizes are known.
        self.read_image.build((None, *self.image_shape))
        for layer in self.latent_layers:
            layer.build()
        height, width, _ = self.latent_layers[0].event_shape
        self.write_image.build((None, height, width, self.filters))
        if self.log_scale is not None:
            self.log_scale.build((None, *self.image_shape))
        # What comes down into the highest layer, the same at every pixel.
        self.top = self.add_weight(name="top", shape=(self.filters,), initializer="zeros")
        self._checkpointed = Checkpointed(self)

    def up_and_down(self, x, num_samples, draw, training=False):
        """Up from the image and down again.

        Args:
            x: `[B, H, W, C]` of `density_dtype`.
            num_samples: S; rows are S * B.
            draw: (layer's index, the layer, statistics from below, from above or None) -> (z, log q by feature map).
            training: whether gradients will be asked for.

        Returns:
            Lists of z and, by feature map, log q and log p of every layer, and the likelihood's parameters.
        """
        wrap = tf.recompute_grad if self.recompute and training else lambda function: function
        count = len(self.latent_layers)
        z, log_q, log_p, statistics = ([None] * count for _ in range(4))

        def repeated(value):
            return tf.tile(value, [num_samples, 1, 1, 1])

        h = self.read_image(tf.cast(self._centred(x), self.compute_dtype))
        if not self.bidirectional:
            h = repeated(h)
        for index, layer in enumerate(self.latent_layers):

            def up(h, index=index, layer=layer):
                statistics, d = layer.read_up(h)
                if self.bidirectional:
                    return layer.go_up(h, d), statistics
                z, log_q = draw(index, layer, statistics, None)
                return layer.go_up(h, d, z), (z, log_q)

            h, found = wrap(up)(h)
            if self.bidirectional:
                statistics[index] = [repeated(value) for value in found]
            else:
                z[index], log_q[index] = found

        def down(index, layer, g):
            def pass_layer(g, *inputs):
                prior, from_above, d = layer.read_down(g)
                latent, *of_q = draw(index, layer, inputs, from_above) if self.bidirectional else inputs
                log_p = tf.reduce_sum(gaussian_log_prob((latent - prior[0]) / prior[1], prior[1]), axis=[1, 2])
                return layer.go_down(g, d, latent), log_p, latent, *of_q

            # What has a gradient comes in as an argument: `tf.recompute_grad` sees no others.
            g, log_p[index], z[index], *of_q = wrap(pass_layer)(g, *(statistics[index] or [z[index]]))
            if of_q:
                (log_q[index],) = of_q
            return g

        parameters = self._descend(num_samples * tf.shape(x)[0], down)
        return z, log_q, log_p, parameters

    def down(self, num_rows, draw):
        """The likelihood's parameters; `draw` is (layer's index, the prior's loc and scale) -> z."""

        def pass_layer(index, layer, g):
            prior, _, d = layer.read_down(g)
            return layer.go_down(g, d, draw(index, prior))

        return self._descend(num_rows, pass_layer)

    def _descend(self, num_rows, pass_layer):
        height, width, _ = self.latent_layers[-1].event_shape
        g = tf.broadcast_to(tf.cast(self.top, self.compute_dtype), [num_rows, height, width, self.filters])
        for index, layer in reversed(list(enumerate(self.latent_layers))):
            g = pass_layer(index, layer, g)
        image = tf.cast(depth_to_space(self.write_image(tf.nn.elu(g)), self.patch_size), density_dtype(self))
        return image if self.log_scale is None else self.log_scale(image)

    def _centred(self, x):
        return (x - 127.5) / 64.0 if self.takes_levels else 2.0 * x - 1.0
