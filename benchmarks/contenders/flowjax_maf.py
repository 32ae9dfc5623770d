"""flowjax's masked autoregressive flow, compiled by JAX."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import StandardNormal
from flowjax.flows import masked_autoregressive_flow

from benchmarks.contenders import Flow

PACKAGES = ("jax", "flowjax", "equinox")

# On a GPU: full float32 products, as for the other contenders.
jax.config.update("jax_default_matmul_precision", "highest")


def make(case):
    width = case.hidden_units[0]
    if set(case.hidden_units) != {width}:
        raise ValueError("flowjax has layers of one width only.")
    flow = masked_autoregressive_flow(
        jax.random.key(0),
        base_dist=StandardNormal((case.event_size,)),
        cond_dim=case.context_size,
        flow_layers=case.num_flows,
        nn_width=width,
        nn_depth=len(case.hidden_units),
        invert=False,
    )
    context = jax.random.normal(jax.random.key(1), (case.batch_size, case.context_size))
    z_given = jax.random.normal(jax.random.key(2), (case.batch_size, case.event_size))
    weights, static = eqx.partition(flow, eqx.is_inexact_array)

    @jax.jit
    def sample(weights, context, key):
        return eqx.combine(weights, static).sample_and_log_prob(key, (), condition=context)

    @jax.jit
    def gradients(weights, context, key):
        def loss(weights, context):
            z, log_q = eqx.combine(weights, static).sample_and_log_prob(key, (), condition=context)
            return jnp.mean(log_q + 0.5 * jnp.sum(z**2, -1))

        return jax.value_and_grad(loss, argnums=(0, 1))(weights, context)

    @jax.jit
    def log_prob(weights, context, z):
        return eqx.combine(weights, static).log_prob(z, condition=context)

    keys = iter(range(10**9))

    def round_trip():
        z, log_q = sample(weights, context, jax.random.key(next(keys)))
        return np.asarray(log_q), np.asarray(log_prob(weights, context, z))

    quantities = {
        "forward": lambda: jax.block_until_ready(sample(weights, context, jax.random.key(next(keys)))),
        "training step": lambda: jax.block_until_ready(gradients(weights, context, jax.random.key(next(keys)))),
        "inverse": lambda: jax.block_until_ready(log_prob(weights, context, z_given)),
    }
    return Flow(quantities, round_trip, sum(leaf.size for leaf in jax.tree.leaves(weights)))


CONTENDERS = {"flowjax": make}
