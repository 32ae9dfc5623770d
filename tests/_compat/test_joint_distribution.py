import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_iaf import _compat

tfd = tfp.distributions


@tfd.JointDistributionCoroutine
def coroutine():
    yield tfd.JointDistributionCoroutine.Root(tfd.HalfNormal(1.0, name="scale"))


JOINTS = {
    "named": tfd.JointDistributionNamed({"scale": tfd.HalfNormal(1.0)}),
    "sequential": tfd.JointDistributionSequential([tfd.HalfNormal(1.0)]),
    "coroutine": coroutine,
    "auto-batched": tfd.JointDistributionNamedAutoBatched({"scale": tfd.HalfNormal(1.0)}),
    "pinned": tfd.JointDistributionNamed({"scale": tfd.HalfNormal(1.0), "x": tfd.Normal(0.0, 1.0)}).experimental_pin(x=1.0),
}


@pytest.mark.parametrize("joint", JOINTS.values(), ids=JOINTS)
def test_a_checkpoint_does_not_follow_the_joint_distribution(joint, tmp_path):
    bijector = _compat.fixed(joint.experimental_default_event_space_bijector())
    values = bijector.forward(tf.nest.map_structure(lambda part: tf.zeros([2]), joint.event_shape))
    assert all((part > 0).numpy().all() for part in tf.nest.flatten(values))
    module = tf.Module()
    module.bijector = bijector
    tf.train.Checkpoint(module=module).write(tmp_path / "checkpoint")


def test_a_checkpoint_fails_without_it(tmp_path):
    """If this test fails, TFP has repaired it, and `_compat.fixed` need not look after checkpoints."""
    joint = JOINTS["named"]
    bijector = joint.experimental_default_event_space_bijector()
    bijector.forward({"scale": tf.zeros([2])})
    with pytest.raises(ValueError, match="Unable to save the object"):
        tf.train.Checkpoint(bijector=bijector).write(tmp_path / "checkpoint")


def test_variables_of_the_joint_distribution_are_no_one_elses(tmp_path):
    high = tf.Variable(2.0)
    joint = tfd.JointDistributionNamed({"u": tfd.Uniform(0.0, high)})
    plain = tfp.bijectors.Chain([joint.experimental_default_event_space_bijector()])
    assert [variable is high for variable in plain.trainable_variables] == [True]
    chain = tfp.bijectors.Chain([_compat.fixed(joint.experimental_default_event_space_bijector())])
    assert chain.variables == ()
    assert [variable is high for variable in _compat.variables_of_fixed(chain)] == [True]
    values = chain.forward({"u": tf.constant([0.3])})["u"]
    high.assign(20.0)
    np.testing.assert_allclose(chain.forward({"u": tf.constant([0.3])})["u"], 10.0 * values, rtol=1e-6)
    path = tf.train.Checkpoint(chain=chain).write(tmp_path / "checkpoint")
    assert not any("high" in name or "jd" in name for name, _ in tf.train.list_variables(path))
