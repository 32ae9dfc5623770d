import keras
import numpy as np
import pytest
import tensorflow as tf

from tfp_iaf.layers import ChannelLogScale


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "float64"])
def test_channel_log_scale(policy):
    layer = ChannelLogScale(dtype=policy)
    locations = np.random.default_rng(0).normal(size=[2, 4, 5, 3]).astype(layer.compute_dtype)
    assert layer(keras.Input((4, 5, 3))).shape == (None, 4, 5, 6)
    layer.log_scale.assign([0.5, -1.0, 2.0])
    outputs = layer(locations)
    assert outputs.dtype == layer.compute_dtype
    np.testing.assert_array_equal(outputs[..., :3], locations)
    np.testing.assert_array_equal(tf.cast(outputs[..., 3:], "float32"), np.broadcast_to([0.5, -1.0, 2.0], [2, 4, 5, 3]))
    with pytest.raises(ValueError, match="channels known"):
        layer.build((None, 4, None))
