"""The chain of masked-convolutional steps, for every posterior over feature maps."""

from tfp_iaf.bijectors import ConvInverseAutoregressiveFlow
from tfp_iaf.bijectors import maps as elementwise
from tfp_iaf.networks import ConvAutoregressiveNetwork

__all__ = ["conv_networks", "conv_steps"]


def conv_networks(num_steps, event_shape, bijector_fn, **kwargs):
    """A `ConvAutoregressiveNetwork` for each step, in raster order and its reverse by turns.

    The networks alternate, where a chain of vectors has reversals in between: a reversal would copy the maps.

    >>> [network.input_order for network in conv_networks(2, (4, 4, 1), "affine")]
    ['left-to-right', 'right-to-left']
    """
    return [
        ConvAutoregressiveNetwork(
            params=elementwise.params_of(bijector_fn),
            event_shape=event_shape,
            input_order=("left-to-right", "right-to-left")[k % 2],
            name=f"step_{k + 1}",
            **kwargs,
        )
        for k in range(num_steps)
    ]


def conv_steps(networks, context, bijector_fn):
    """The bijectors on these networks, in the order they act."""
    return [ConvInverseAutoregressiveFlow(network, context=context, bijector_fn=bijector_fn) for network in networks]
