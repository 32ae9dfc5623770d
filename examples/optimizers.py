"""The optimizers of training runs: the learning rate over the steps, and the moving average of the weights."""

import keras


def make(name, learning_rate, decay_to=1.0, steps=None, ema=0.0):
    """An optimizer.

    Args:
        name: "adam", "adamax", or "rmsprop", which is centered, with rho 0.99.
        learning_rate, decay_to, steps: see `rate`.
        ema: momentum of the weights' moving average, which is validated and evaluated; 0 for none.
    """
    average = {"use_ema": True, "ema_momentum": ema} if ema else {}
    learning_rate = rate(learning_rate, decay_to, steps)
    if name == "rmsprop":
        # Published runs of the small MLP sum the loss over the batch and add 1e-8 outside of the root. Here the loss is a mean,
        # so its gradients are smaller by the batch size, and Keras adds epsilon inside of the root. No value makes the two
        # equal; with this one epsilon is negligible in both wherever a gradient of the summed loss exceeds about 1e-3.
        return keras.optimizers.RMSprop(learning_rate, rho=0.99, centered=True, epsilon=1e-12, **average)
    return {"adam": keras.optimizers.Adam, "adamax": keras.optimizers.Adamax}[name](learning_rate, **average)


def rate(learning_rate, decay_to=1.0, steps=None):
    """The learning rate: constant, or falling linearly to the fraction `decay_to` of itself at the last of `steps` steps."""
    if decay_to == 1.0:
        return learning_rate
    return keras.optimizers.schedules.PolynomialDecay(learning_rate, steps, end_learning_rate=decay_to * learning_rate)
