"""The inverse autoregressive flow over images and feature maps."""

from tfp_iaf.bijectors.inverse_autoregressive_flow import InverseAutoregressiveFlow

__all__ = ["ConvInverseAutoregressiveFlow"]


class ConvInverseAutoregressiveFlow(InverseAutoregressiveFlow):
    """z_i = f(y_i; params_i(y_<i, context)) over the entries of an H x W x C event, in the network's raster order.

    All of `InverseAutoregressiveFlow`, with an event of rank 3: the same maps, caching, gradients and errors. The exact
    inverse iterates on all entries at once until they have settled ("auto" is "fixed_point"): usually after some tens of
    evaluations, where "sequential" takes H W C.

    Args:
        network: a `networks.ConvAutoregressiveNetwork`, or a Keras layer with its attributes.
        context: feature maps `[..., H, W, context_channels]`, captured; its leading dimensions become the batch shape.
        bijector_fn, validate_args, name: as in `InverseAutoregressiveFlow`.
        inverse: "auto", "fixed_point" or "sequential".

    Shapes: y and z `[..., H, W, C]`; log_det `[...]`.

    Source: Kingma et al. 2016, sections 4.2 and 5.2.

    >>> import tensorflow as tf
    >>> from tfp_iaf import networks
    >>> network = networks.ConvAutoregressiveNetwork(params=2, event_shape=(4, 4, 2), filters=(8,))
    >>> flow = ConvInverseAutoregressiveFlow(network)
    >>> flow.forward(tf.ones([3, 4, 4, 2])).shape
    TensorShape([3, 4, 4, 2])
    """

    event_ndims = 3

    def __init__(
        self,
        network,
        context=None,
        bijector_fn="affine",
        inverse="auto",
        validate_args=False,
        name="conv_inverse_autoregressive_flow",
    ):
        super().__init__(network, context, bijector_fn, inverse, validate_args, name)
