"""The `tf.TypeSpec` of a bijector on a Keras network.

With it the bijector is a composite tensor: it passes into `tf.function` (another context of the same shape does not
retrace), and Chain and TransformedDistribution, being composite then as well, list the network's variables.
TFP's own `AutoCompositeTensorBijector` reads its components off the constructor's arguments, and finds no variables in a
Keras layer.

As with every TFP object that holds variables: inside a `tf.function` that takes the flow as an argument, differentiate
with respect to the argument's `trainable_variables`; in a function that closes over the flow, the network's serve as well.
"""

import tensorflow as tf

from tfp_iaf import _compat

__all__ = ["FlowSpec"]


class FlowSpec(_compat.BijectorSpec):
    """Describes a flow by its class, its network (by identity), its settings, and the specs of context and variables.

    Args:
        flow_type: the bijector's class.
        network: the Keras layer.
        settings: the other arguments of the constructor but `context`, a tuple of (name, value) pairs.
        context_spec: that of a tensor or of a variable, or None.
        variable_specs: those of the network's variables.
    """

    def __init__(self, flow_type, network, settings, context_spec, variable_specs):
        self._flow_type = flow_type
        self._network = network
        self._settings = settings
        self._context_spec = context_spec
        self._variable_specs = variable_specs

    @classmethod
    def of(cls, flow, settings):
        """The spec of a flow with attributes `network`, `context` and `tf_variables`."""
        context = flow.context
        return cls(
            type(flow),
            flow.network,
            tuple(sorted(settings.items())),
            None if context is None else tf.type_spec_from_value(context),
            tuple(tf.type_spec_from_value(variable) for variable in flow.tf_variables),
        )

    @property
    def value_type(self):
        return self._flow_type

    @property
    def _component_specs(self):
        # An empty tuple stands for no context, since None is no component.
        return {"context": () if self._context_spec is None else (self._context_spec,), "variables": self._variable_specs}

    def _to_components(self, value):
        return {"context": () if value.context is None else (value.context,), "variables": value.tf_variables}

    def _from_components(self, components):
        context = components["context"][0] if components["context"] else None
        flow = self._flow_type(self._network, context=context, **dict(self._settings))
        flow.read_from(components["variables"])
        return flow

    def _serialize(self):
        # What specs are compared and hashed by: Keras layers, maps and inverses by identity (the spec keeps them alive).
        settings = tuple((name, value if isinstance(value, str | bool) else id(value)) for name, value in self._settings)
        return (id(self._flow_type), id(self._network), settings, self._context_spec, self._variable_specs)

    # TensorFlow derives the next three from `_serialize`, which does not lead back to the network here.

    def _without_tensor_names(self):
        return self

    def _with_tensor_ranks_only(self):
        context_spec = self._context_spec
        if isinstance(context_spec, tf.TensorSpec):
            context_spec = tf.TensorSpec([None] * context_spec.shape.rank, context_spec.dtype)
        return self._with_context(context_spec)

    def most_specific_common_supertype(self, others):
        """The spec with the context's shape relaxed to fit all; None if they describe different flows."""
        specs = [self, *others]
        if any(type(spec) is not FlowSpec or spec._identity() != self._identity() for spec in specs):
            return None
        context_spec = self._context_spec
        if context_spec is not None:
            context_spec = context_spec.most_specific_common_supertype([spec._context_spec for spec in others])
            if context_spec is None:
                return None
        return self._with_context(context_spec)

    def _with_context(self, context_spec):
        return FlowSpec(self._flow_type, self._network, self._settings, context_spec, self._variable_specs)

    def _identity(self):
        flow_type, network, settings, context_spec, _ = self._serialize()
        return flow_type, network, settings, context_spec is None
