"""What all models share: training on the evidence lower bound, with the data checked beforehand."""

import keras
import numpy as np
import tensorflow as tf

from tfp_iaf import objectives
from tfp_iaf._arguments import integer
from tfp_iaf.layers import density_dtype
from tfp_iaf.likelihoods import _functions as likelihoods
from tfp_iaf.models import _data_checks as data_checks

__all__ = ["ElboModel"]


class ElboModel(keras.Model):
    """A Keras model trained on the bound of each example.

    ```none
    elbo(x) = reconstruction - kl        (nats an example)
    loss    = -mean over the batch of (reconstruction - kl_weight * kl_objective) + regularization losses
    ```

    `compile` it with an optimizer and no loss; `fit(x)` and `evaluate(x)` take data without targets, as an array or a
    `tf.data.Dataset` of batches. Metrics: `loss`, `elbo`, `kl`, `reconstruction`, the last three without `kl_weight`.
    `model(x)` and `predict(x)` return those three for each example. Floating, integer and boolean data are cast to
    `density_dtype`.

    A subclass has the methods below that only raise, and sets `data_shape` when it is built. Its latents z are a tensor or a
    list of tensors, described by `latent_specs`.

    Args:
        likelihood: what `likelihoods.get` takes.
        num_samples: posterior samples an example in training and evaluation.
        **kwargs: `name`, `dtype` of `keras.Model`.
    """

    def __init__(self, likelihood, num_samples=1, **kwargs):
        super().__init__(**kwargs)
        self.num_samples = integer("num_samples", num_samples)
        self.likelihood = likelihoods.get(likelihood)
        # A weight, so that a warm-up under way is saved with the model; see `KLWarmUp`.
        self.kl_weight = self.add_weight(
            shape=(), initializer="ones", trainable=False, autocast=False, dtype=self.density_dtype, name="kl_weight"
        )
        self.trackers = {name: keras.metrics.Mean(name=name) for name in ("elbo", "kl", "reconstruction")}
        self.data_shape = None

    @property
    def density_dtype(self):
        """The dtype of data, latents and log-probabilities: float32, or float64 under that policy."""
        return density_dtype(self)

    def elbo_terms(self, x, num_samples=1, seed=None, training=None):
        """A dict of `kl` log q(z|x) - log p(z), and `reconstruction` log p(x|z), `[S, B]` each, at S samples of q(z|x)."""
        raise NotImplementedError

    def latent_specs(self):
        """A `tf.TensorSpec` of z, `[B, ...]`, or a list of them, with the names that served models give them."""
        raise NotImplementedError

    def posterior_sample(self, x, seed=None):
        """(z, log q(z|x) `[B]`) of one sample for each example; `seed` is an int32 tensor of shape [2]."""
        raise NotImplementedError

    def posterior_log_prob(self, x, z):
        """log q(z|x) of given latents, `[B]`, through the inverse of every step."""
        raise NotImplementedError

    def prior_sample(self, num_samples, seed, temperature=1.0):
        """(z, the likelihood's parameters there) of `num_samples` draws of the prior, its scales times `temperature`."""
        raise NotImplementedError

    def decode(self, z, training=False):
        """The likelihood's parameters at z, in `density_dtype`."""
        raise NotImplementedError

    def reconstruct(self, x, seed=None):
        """The mean of p(x|z) at one z ~ q(z|x) for each x, `[B, ...]`."""
        return self.likelihood(self.decode(self.posterior_sample(x, seed)[0])).mean()

    def sample(self, num_samples, seed, temperature=1.0):
        """The mean of p(x|z) at `num_samples` draws of the prior; arguments as of `prior_sample`."""
        return self.likelihood(self.prior_sample(num_samples, seed, temperature)[1]).mean()

    def kl_objective(self, y_pred, sample_weight, training):
        """The KL term of the loss, a scalar, of the `call`'s outputs and the examples' weights `[B]`."""
        del training
        return tf.reduce_mean(y_pred["kl"] * sample_weight)

    def call(self, x, training=None):
        terms = self.elbo_terms(x, num_samples=self.num_samples, training=training)
        means = {name: tf.reduce_mean(value, axis=0) for name, value in terms.items() if name != "z"}
        return {"elbo": objectives.elbo(means["reconstruction"], means["kl"]), **means}

    def log_likelihood_of(self, x, parameters, num_samples):
        """log p(x|z) of x `[B, ...]` with the likelihood's parameters at S samples, `[S * B, ...]`, as `[S, B]`."""
        repeated = tf.tile(x, tf.concat([[num_samples], tf.ones([len(x.shape) - 1], tf.int32)], axis=0))
        return tf.reshape(self.likelihood(parameters).log_prob(repeated), [num_samples, tf.shape(x)[0]])

    def as_input(self, x):
        """x as a tensor of `density_dtype`."""
        x = keras.ops.cast(x, self.density_dtype)
        self._check_shape(x.shape)
        return x

    def _check_shape(self, shape):
        if self.built and not tf.TensorShape(shape).is_compatible_with([None, *self.data_shape]):
            raise ValueError(f"The model takes examples of shape {self.data_shape}, got {tuple(shape[1:])}.")

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        del x, y
        reconstruction = y_pred["reconstruction"]
        if sample_weight is None:
            weight = tf.ones_like(reconstruction)
        else:
            weight = tf.reshape(tf.cast(sample_weight, reconstruction.dtype), tf.shape(reconstruction))
        for name, tracker in self.trackers.items():
            tracker.update_state(y_pred[name], sample_weight=weight)
        kl = self.kl_objective(y_pred, weight, training)
        bound = objectives.elbo(tf.reduce_mean(reconstruction * weight), kl, tf.cast(self.kl_weight, kl.dtype))
        loss = -bound + sum(tf.cast(loss, bound.dtype) for loss in self.losses)
        # tf.distribute adds up the replicas' gradients.
        return loss / tf.distribute.get_strategy().num_replicas_in_sync

    def fit(self, x=None, y=None, *args, validation_data=None, **kwargs):
        if isinstance(x, tf.data.Dataset):
            kwargs.setdefault("shuffle", False)  # Keras warns of its own default.
        validation_data = _with_targets(self._checked_data(validation_data))
        return self._run(super().fit, x, y, *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        return self._run(super().evaluate, x, y, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        return self._run(super().predict, x, *args, **kwargs)

    def _run(self, method, x, *args, **kwargs):
        if kwargs.get("sample_weight") is not None and args and args[0] is None:
            args = (np.zeros(len(x)), *args[1:])  # Without targets Keras drops the weights.
        try:
            return method(self._checked_data(x), *args, **kwargs)
        except tf.errors.InvalidArgumentError as error:
            data_checks.reraise(error)
            raise

    def save(self, filepath, *args, **kwargs):
        self.get_config()  # What cannot be written is found before the file is begun.
        super().save(filepath, *args, **kwargs)

    def check_data(self, x):
        """Raises a ValueError if x has the wrong shape, holds NaN, or values that the likelihood gives no probability."""
        self._check_shape(x.shape)
        data_checks.check_array(x, **self._data_limits())

    def _data_limits(self):
        return {
            "binary": self.likelihood is likelihoods.bernoulli,
            "levels": self.likelihood is likelihoods.discretized_logistic,
        }

    def _checked_data(self, x):
        if isinstance(x, tf.data.Dataset):
            spec = x.element_spec[0] if isinstance(x.element_spec, tuple) else x.element_spec
            if isinstance(spec, tf.TensorSpec):
                self._check_shape(spec.shape)
            return data_checks.checked_dataset(x, **self._data_limits())
        array = x[0] if isinstance(x, tuple | list) and x else x
        if isinstance(array, np.ndarray) or tf.is_tensor(array):
            self.check_data(array)
        return x

    def get_config(self):
        return {
            **super().get_config(),
            "likelihood": likelihoods.serialize(self.likelihood),
            "num_samples": self.num_samples,
        }


def _with_targets(data):
    """(x, None, weights) with targets of zeros: without any Keras drops the weights."""
    if isinstance(data, tuple) and len(data) == 3 and data[1] is None:
        return data[0], np.zeros(len(data[0])), data[2]
    return data
