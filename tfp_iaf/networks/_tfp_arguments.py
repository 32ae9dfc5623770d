"""From the arguments of `tfb.AutoregressiveNetwork` to those of ours."""

from tfp_iaf._arguments import flag, given, integer, sizes

__all__ = ["context_arguments", "from_keras_2"]

LAYERS = ("first_layer", "all_layers")


def context_arguments(context_size, event_shape, conditional, conditional_event_shape, conditional_input_layers):
    """(context_size, "first_layer" or "all_layers"), from the arguments that say whether there is a context, and how it enters.

    Either `context_size`, or `conditional=True` with `conditional_event_shape`. The layers that get the context default to
    the first with the former, as in the rest of this package, and to all with the latter, as in TFP.

    >>> context_arguments(3, 8, False, None, None)
    (3, 'first_layer')
    >>> context_arguments(None, 8, True, (3,), None)
    (3, 'all_layers')
    """
    is_known = isinstance(conditional_input_layers, str) and conditional_input_layers in LAYERS
    if not (is_known or conditional_input_layers is None):
        raise ValueError(
            f'`conditional_input_layers` must be "first_layer" or "all_layers", got {given(conditional_input_layers)}.'
        )
    if not flag("conditional", conditional):
        if conditional_event_shape is not None:
            raise ValueError(
                "`conditional_event_shape` passed but `conditional` is set to False. Pass conditional=True, or context_size "
                f"alone: got {given(conditional_event_shape)}."
            )
        return context_size, conditional_input_layers or LAYERS[0]
    if event_shape is None:
        raise ValueError("`event_shape` must be provided when `conditional` is True: got none.")
    if conditional_event_shape is None:
        raise ValueError("`conditional_event_shape` must be provided when `conditional` is True: got none.")
    of_context = sizes("conditional_event_shape", conditional_event_shape)
    if len(of_context) != 1:
        raise ValueError(
            f"Parameter `conditional_event_shape` must describe a rank-1 shape, (C,), got {given(conditional_event_shape)}."
        )
    if context_size is not None and integer("context_size", context_size) != of_context[0]:
        raise ValueError(f"context_size {context_size} and conditional_event_shape {of_context} differ: pass one of them.")
    return of_context[0], conditional_input_layers or LAYERS[1]


def from_keras_2(value, kind):
    """An initializer, regularizer or constraint of Keras 2 as one of Keras 3; anything else as it is.

    Args:
        value: what TFP's users pass.
        kind: `keras.initializers`, `keras.regularizers` or `keras.constraints`.

    Raises:
        ValueError: where Keras 3 has none of that name.

    >>> import keras
    >>> from_keras_2("glorot_uniform", keras.initializers)
    'glorot_uniform'
    """
    name = type(value).__name__
    if not type(value).__module__.startswith("tf_keras"):
        return value
    if not hasattr(kind, name):
        raise ValueError(f"{name} is a Keras 2 object without a counterpart in {kind.__name__}: pass one of Keras 3.")
    return getattr(kind, name).from_config(value.get_config())
