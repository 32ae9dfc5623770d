"""Recurrent networks in plain NumPy, one example and one entry at a time, written from the cells' formulas."""

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def lstm(weights, x, state):
    """(h, (h, c)) of a long short-term memory cell; the columns of its kernels are input, forget, candidate, output."""
    kernel, recurrent_kernel, bias = weights
    h, c = state
    i, f, candidate, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(candidate)
    h = sigmoid(o) * np.tanh(c)
    return h, (h, c)


def gru(weights, x, state):
    """(h, (h,)) of a gated recurrent unit, its reset gate on the product; the columns are update, reset, candidate."""
    kernel, recurrent_kernel, (bias, recurrent_bias) = weights
    (h,) = state
    update, reset, candidate = np.split(x @ kernel + bias, 3)
    by_state = np.split(h @ recurrent_kernel + recurrent_bias, 3)
    update, reset = sigmoid(update + by_state[0]), sigmoid(reset + by_state[1])
    h = update * h + (1.0 - update) * np.tanh(candidate + reset * by_state[2])
    return h, (h,)


CELLS = {"lstm": (lstm, 2), "gru": (gru, 1)}


def parameters(network, y, context):
    """Parameters [D, P] of one example, `network` a RecurrentAutoregressiveNetwork."""
    *cells, kernel, bias = [weight.numpy() for weight in network.weights]
    cells = [cells[k : k + 3] for k in range(0, len(cells), 3)]
    cell, num_states = CELLS[network.cell]
    states = [tuple(np.zeros(len(recurrent_kernel)) for _ in range(num_states)) for _, recurrent_kernel, _ in cells]
    results, previous = {}, 0.0
    for position in range(1, len(y) + 1):
        x = np.array([previous]) if context is None else np.array([previous, *context])
        for k, weights in enumerate(cells):
            x, states[k] = cell(weights, x, states[k])
        entry = list(network.degrees).index(position)
        results[entry], previous = x @ kernel + bias, y[entry]
    return np.array([results[entry] for entry in range(len(y))])
