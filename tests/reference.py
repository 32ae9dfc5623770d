"""The mathematics in plain NumPy loops, one example and one entry at a time, independent of the package's own code.

Degrees are recomputed here from their definition, and a forbidden connection is never visited rather than multiplied by 0.
"""

import numpy as np


def elu(x):
    return x if x > 0 else np.exp(x) - 1.0


def made(weights, order, y, context, num_params):
    """Parameters [D, P] of a masked network with ELU hidden layers.

    `weights` is a dict: "layers", a list of (kernel, bias), the last of them the output, and "contexts", for each of them the
    context's kernel or None; `order[i]` is the position of entry i in the input order, from 1.
    """
    size = len(y)
    values, degrees = list(y), list(order)
    for index, (kernel, bias) in enumerate(weights["layers"][:-1]):
        width = kernel.shape[1]
        lowest = 0 if context is not None or size == 1 else 1
        new_degrees = [lowest + (unit * (size - lowest)) // width for unit in range(width)]
        new_values = []
        for unit in range(width):
            total = bias[unit]
            for i, value in enumerate(values):
                if degrees[i] <= new_degrees[unit]:
                    total += value * kernel[i, unit]
            if weights["contexts"][index] is not None:
                for i, value in enumerate(context):
                    total += value * weights["contexts"][index][i, unit]
            new_values.append(elu(total))
        values, degrees = new_values, new_degrees
    kernel, bias = weights["layers"][-1]
    parameters = np.zeros([size, num_params])
    for entry in range(size):
        for p in range(num_params):
            column = entry * num_params + p
            total = bias[column]
            for i, value in enumerate(values):
                if degrees[i] < order[entry]:
                    total += value * kernel[i, column]
            if weights["contexts"][-1] is not None:
                for i, value in enumerate(context):
                    total += value * weights["contexts"][-1][i, column]
            parameters[entry, p] = total
    return parameters


def conv_made(weights, y, context, num_params):
    """Parameters [H, W, C, P] of a masked convolutional network in raster order with ELU hidden layers.

    `weights` as for `made`, each kernel of shape [rows above and the pixel's own, columns, inputs, outputs].
    """
    height, width, channels = y.shape
    values, degrees = y, list(range(1, channels + 1))
    for index, (kernel, bias) in enumerate(weights["layers"]):
        is_last = index == len(weights["layers"]) - 1
        num_rows, num_columns, _, num_outputs = kernel.shape
        if is_last:
            new_degrees = [1 + output // num_params for output in range(num_outputs)]
        else:
            new_degrees = [(output * channels) // num_outputs for output in range(num_outputs)]
        new_values = np.zeros([height, width, num_outputs])
        for row, column, output in np.ndindex(height, width, num_outputs):
            total = bias[output]
            for up, across, i in np.ndindex(num_rows, num_columns, len(degrees)):
                other_row, other_column = row - up, column + across - num_columns // 2
                if other_row < 0 or not 0 <= other_column < width:
                    continue
                is_own = (other_row, other_column) == (row, column)
                is_before = (other_row, other_column) < (row, column)
                may_read = degrees[i] < new_degrees[output] if is_last else degrees[i] <= new_degrees[output]
                if is_before or (is_own and may_read):
                    total += values[other_row, other_column, i] * kernel[num_rows - 1 - up, across, i, output]
            if index == 0 and context is not None:
                total += context[row, column] @ weights["contexts"][0][:, output]
            new_values[row, column, output] = total if is_last else elu(total)
        values, degrees = new_values, new_degrees
    return values.reshape([height, width, channels, num_params])


def elementwise(kind, y, parameters):
    """(z, log dz/dy) of one entry."""
    if kind == "location":
        return y - parameters[0], 0.0
    if kind == "gated":
        s = 1.0 / (1.0 + np.exp(-(2.0 + 6.0 * np.tanh(parameters[1] / 6.0))))
        return s * y + (1.0 - s) * parameters[0], np.log(s)
    log_scale = 4.0 * np.tanh(parameters[1] / 4.0)
    return (y - parameters[0]) / np.exp(log_scale), -log_scale


def iaf_forward(weights, order, y, context, kind):
    """(z, log|det dz/dy|) of one example."""
    parameters = made(weights, order, y, context, 1 if kind == "location" else 2)
    pairs = [elementwise(kind, y[i], parameters[i]) for i in range(len(y))]
    return np.array([z for z, _ in pairs]), sum(log_derivative for _, log_derivative in pairs)


def iaf_inverse(weights, order, z, context, kind):
    """The y of one example, entry by entry in the input order."""
    y = np.zeros_like(z)
    for position in range(1, len(z) + 1):
        entry = list(order).index(position)
        parameters = made(weights, order, y, context, 1 if kind == "location" else 2)[entry]
        # z is affine in y for all three maps: two evaluations give slope and intercept.
        intercept = elementwise(kind, 0.0, parameters)[0]
        slope = elementwise(kind, 1.0, parameters)[0] - intercept
        y[entry] = (z[entry] - intercept) / slope
    return y


def weights_of(network):
    """What `made` and `conv_made` take, from a network."""
    layers = [*network.hidden_layers, network.output_layer]
    return {
        "layers": [(layer.kernel.numpy(), layer.bias.numpy()) for layer in layers],
        "contexts": [None if kernel is None else kernel.numpy() for kernel in network.context_kernels],
    }


def monotone(y, parameters):
    """(z, log dz/dy) of one entry: d + a y + sum_k b_k (sigmoid((y - c_k) / s_k) - 1/2), centres from -3 to 3."""
    count = (len(parameters) - 2) // 3
    slope = np.exp(4.0 * np.tanh(parameters[1] / 4.0))
    z = parameters[0] + slope * y
    for k in range(count):
        height = np.log1p(np.exp(parameters[2 + k] - 2.5))
        centre = parameters[2 + count + k] + (-3.0 + 6.0 * k / (count - 1) if count > 1 else -3.0)
        width = np.exp(4.0 * np.tanh(parameters[2 + 2 * count + k] / 4.0))
        sigmoid = 1.0 / (1.0 + np.exp(-(y - centre) / width))
        z += height * (sigmoid - 0.5)
        slope += height / width * sigmoid * (1.0 - sigmoid)
    return z, np.log(slope)


def softplus(x):
    return np.log1p(np.exp(-abs(x))) + max(x, 0.0)


def planar(u, w, b, y):
    """z of one example."""
    x = sum(u[i] * w[i] for i in range(len(y)))
    m = (1.0 - 1e-3) * (softplus(x + np.log(np.e - 1.0)) - 1.0)
    squared_norm = sum(w[i] ** 2 for i in range(len(y)))
    a = sum(w[i] * y[i] for i in range(len(y))) + b
    return np.array([y[i] + (u[i] + (m - x) * w[i] / squared_norm) * np.tanh(a) for i in range(len(y))])


def radial(center, width, slope, y):
    """z of one example, in the paper's form."""
    alpha, s = (softplus(value + np.log(np.e - 1.0)) + 1e-5 for value in (width, slope))
    r = np.sqrt(sum((y[i] - center[i]) ** 2 for i in range(len(y))))
    return np.array([y[i] + (s - alpha) / (alpha + r) * (y[i] - center[i]) for i in range(len(y))])


def sylvester(r, s, b, q, y):
    """z of one example; `q` is [D, M]."""
    size, columns = q.shape

    def entry(matrix, i, j):
        return (1.0 - 1e-3) * np.tanh(matrix[i, i]) if i == j else matrix[i, j]

    v = [sum(q[d, m] * y[d] for d in range(size)) for m in range(columns)]
    h = [np.tanh(sum(entry(s, i, j) * v[j] for j in range(i, columns)) + b[i]) for i in range(columns)]
    rh = [sum(entry(r, i, j) * h[j] for j in range(i, columns)) for i in range(columns)]
    return np.array([y[d] + sum(q[d, m] * rh[m] for m in range(columns)) for d in range(size)])


def leapfrogs(gradient, step_size, count, y):
    """(x, p) of one example after `count` leapfrogs; `gradient` is that of the target's log-density."""
    size = len(y) // 2
    x, p = np.array(y[:size]), np.array(y[size:])
    for _ in range(count):
        force = gradient(x)
        for i in range(size):
            p[i] += step_size[i] / 2.0 * force[i]
        for i in range(size):
            x[i] += step_size[i] * p[i]
        force = gradient(x)
        for i in range(size):
            p[i] += step_size[i] / 2.0 * force[i]
    return np.concatenate([x, p])
