"""The samplers that the benchmark of synthesis compares draw the same images."""

import numpy as np

from benchmarks import pixel_samplers
from tests import properties


def test_cached_features_give_the_images_of_the_whole_network():
    network = pixel_samplers.autoregressive_network((4, 5, 1), (6, 6), 5)
    properties.randomize(network)
    uniforms = np.random.default_rng(0).random((3, 4, 5), np.float32)
    images = pixel_samplers.CachedSampler(network)(uniforms)
    assert 0.1 < images.mean() < 0.9
    np.testing.assert_array_equal(pixel_samplers.naive_sampler(network, jit_compile=False)(uniforms), images)
    first = pixel_samplers.naive_sampler(network, num_pixels=7, jit_compile=False)(uniforms).numpy().reshape(3, -1)
    np.testing.assert_array_equal(first[:, :7], images.reshape(3, -1)[:, :7])
    assert not first[:, 7:].any()
