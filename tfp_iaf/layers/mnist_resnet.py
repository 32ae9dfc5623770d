"""The residual encoder and decoder of the paper's MNIST models."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

from tfp_iaf._arguments import choice, integers
from tfp_iaf.layers.linear_layer import linear_layer
from tfp_iaf.layers.residual_block import ResidualBlock

__all__ = ["mnist_decoder", "mnist_encoder"]

# (filters, stride) of the encoders' blocks, from the image on; the decoders run through them backwards.
_BLOCKS = {
    "first": ((16, 1), (16, 1), (32, 2), (32, 1), (32, 2), (32, 1)),
    "final": ((16, 2), (16, 1), (32, 2), (32, 1), (32, 2)),
}
IMAGE_SIZE = 28
NUM_FEATURES = 450


def mnist_encoder(version: str = "final", weight_norm: bool = True) -> keras.Sequential:
    """The ResNet encoder of the paper's MNIST models: binary images -> features `[B, 450]`.

    ```none
    "first":  16, 16 | 32 /2, 32 | 32 /2, 32   (28 x 28 -> 14 x 14 -> 7 x 7)
    "final":  16 /2, 16, 32 /2, 32, 32 /2      (28 x 28 -> 14 x 14 -> 7 x 7 -> 4 x 4)
    ```

    residual blocks with these feature maps, /2 those of stride 2, followed by ELU and a dense layer of 450 ELUs.

    The paper's first version has three sequences of two blocks with stride 2 after the first two; its final version has three
    blocks of stride 2 with blocks of stride 1 between. They leave open, and here is chosen: the strided block opens the next
    sequence; pre-activation blocks of two convolutions with ELU, with a linear shortcut where shapes change; ELU before the
    dense layer; "same" padding, so that 7 x 7 halves to 4 x 4.

    Args:
        version: "first" or "final", of the paper.
        weight_norm: whether convolutions and dense layers are weight-normalized, as in the paper. Call
            `layers.initialize_weight_normalization(model, x)` for its data-dependent start, best on the whole `VAE`.

    Input shape: `[B, 28, 28]` or `[B, 28, 28, 1]`. Its precision is Keras's global dtype policy.

    Raises:
        ValueError: for an unknown version.

    Source: Kingma et al. 2016, the MNIST experiments, in the first and in the final version of the preprint.

    >>> import tensorflow as tf
    >>> mnist_encoder()(tf.zeros([2, 28, 28])).shape
    TensorShape([2, 450])
    """
    return keras.Sequential(
        [
            keras.layers.Reshape((IMAGE_SIZE, IMAGE_SIZE, 1)),
            *(ResidualBlock(filters, stride=stride, weight_norm=weight_norm) for filters, stride in _blocks(version)),
            keras.layers.Flatten(),
            keras.layers.ELU(),
            linear_layer(keras.layers.Dense, NUM_FEATURES, weight_norm=weight_norm),
            keras.layers.ELU(),
        ],
        name="mnist_encoder",
    )


def mnist_decoder(
    version: str = "final", weight_norm: bool = True, data_shape: Sequence[int] = (IMAGE_SIZE, IMAGE_SIZE)
) -> keras.Sequential:
    """The ResNet decoder of the paper's MNIST models: z `[B, D]` -> logits `[B, *data_shape]`.

    `mnist_encoder` backwards: a dense layer of 450 ELUs, a dense layer to the last blocks' maps, the blocks in reverse with
    upsampling for strides, ELU, and a 3 x 3 convolution to one logit per pixel. Upsampling 4 x 4 cuts 8 x 8 to 7 x 7. All but
    the sizes is a choice; the paper says that encoder and decoder mirror one another.

    Args:
        version, weight_norm: as in `mnist_encoder`.
        data_shape: shape of one image, (28, 28) or (28, 28, 1).

    Raises:
        ValueError: for an unknown version, or a `data_shape` of other than 784 entries.

    Source: as of `mnist_encoder`.

    >>> import tensorflow as tf
    >>> mnist_decoder("first")(tf.zeros([2, 32])).shape
    TensorShape([2, 28, 28])
    """
    blocks = _blocks(version)
    data_shape = integers("data_shape", data_shape, "sizes")
    if math.prod(data_shape) != IMAGE_SIZE**2:
        raise ValueError(f"data_shape must be of {IMAGE_SIZE} x {IMAGE_SIZE} entries, got {data_shape}.")
    sizes = [IMAGE_SIZE]
    for _, stride in blocks:
        sizes.append(math.ceil(sizes[-1] / stride))
    filters = blocks[-1][0]
    layers = [
        linear_layer(keras.layers.Dense, NUM_FEATURES, weight_norm=weight_norm),
        keras.layers.ELU(),
        linear_layer(keras.layers.Dense, sizes[-1] ** 2 * filters, weight_norm=weight_norm),
        keras.layers.Reshape((sizes[-1], sizes[-1], filters)),
    ]
    # A block returns as many maps as its mirror image in the encoder takes.
    given = [blocks[0][0], *(filters for filters, _ in blocks[:-1])]
    for k in reversed(range(len(blocks))):
        stride = blocks[k][1]
        layers.append(ResidualBlock(given[k], upsample=stride, weight_norm=weight_norm))
        excess = sizes[k + 1] * stride - sizes[k]
        if excess:
            layers.append(keras.layers.Cropping2D(((0, excess), (0, excess))))
    layers += [
        keras.layers.ELU(),
        linear_layer(keras.layers.Conv2D, 1, 3, padding="same", weight_norm=weight_norm),
        keras.layers.Reshape(tuple(data_shape)),
    ]
    return keras.Sequential(layers, name="mnist_decoder")


def _blocks(version):
    return _BLOCKS[choice("version", version, _BLOCKS)]
