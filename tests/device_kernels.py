"""Which operations of a graph have no kernel for a GPU: TensorFlow's own registry answers, on a machine without one."""

from tensorflow.python.framework import kernels

__all__ = ["without_gpu_kernel"]

# A kernel of DEFAULT runs on every device.
DEVICES = {"GPU", "DEFAULT"}


def without_gpu_kernel(concrete):
    """The names of the operations, in a concrete function and in all that it calls, that no GPU has a kernel for."""
    graph = concrete.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    called = {function.signature.name for function in graph.library.function}
    operations = {
        (node.op, tuple(sorted((name, value.type) for name, value in node.attr.items() if value.type)))
        for node in nodes
        if node.op not in called
    }
    return {name for name, types in operations if not _has_kernel(name, dict(types))}


def _has_kernel(name, types):
    return any(
        all(types[c.name] in c.allowed_values.list.type for c in kernel.constraint if c.name in types)
        for kernel in kernels.get_registered_kernels_for_op(name).kernel
        if kernel.device_type in DEVICES
    )
