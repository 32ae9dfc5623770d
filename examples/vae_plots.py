"""Pictures of a training run: learning curves, and grids of samples and reconstructions."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

import tfp_iaf


def plot_curves(histories, path, bits_of=None):
    """Training and validation bound against optimizer steps, one colour per run; `histories` is name -> rows.

    In nats, or with `bits_of`, the shape of an image, in bits per dimension.
    """

    def bound(values):
        values = np.array(values)
        return values if bits_of is None else tfp_iaf.evaluation.bits_per_dim(values, bits_of)

    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for i, (name, rows) in enumerate(histories.items()):
        steps = [row["step"] for row in rows]
        axes.plot(steps, bound([row["val_elbo"] for row in rows]), color=f"C{i}", label=f"{name}, validation")
        axes.plot(steps, bound([row["elbo"] for row in rows]), color=f"C{i}", linestyle=":", label=f"{name}, training")
    # The first epochs lie far off and would flatten all the rest.
    values = bound([row[key] for rows in histories.values() for row in rows for key in ("val_elbo", "elbo")])
    low, high = (np.quantile(values, 0.1), values.max()) if bits_of is None else (values.min(), np.quantile(values, 0.9))
    margin = 0.1 * (high - low)
    unit = "nats" if bits_of is None else "bits/dim"
    axes.set(xlabel="optimizer steps", ylabel=f"bound [{unit}]", ylim=(low - margin, high + margin))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def plot_images(rows, titles, path, grey="gray_r", columns=None):
    """A picture with one titled panel for each element of `rows`, an array of images drawn as a grid of `columns`, by default
    about square.

    Images are `[N, H, W]` or `[N, H, W, C]` with values in [0, 1]; C = 3 is drawn in colour, C = 1 in the colour map `grey`.
    """
    figure, panels = plt.subplots(1, len(rows), figsize=(3.2 * len(rows), 3.5), layout="constrained", squeeze=False)
    for panel, images, title in zip(panels[0], rows, titles):
        draw_grid(panel, images, title, grey, columns)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_grid(panel, images, title, grey="gray_r", columns=None):
    """Draws images as a grid into a titled panel; arguments as of `plot_images`."""
    panel.imshow(_grid(np.asarray(images), columns), cmap=grey, vmin=0.0, vmax=1.0, interpolation="nearest")
    panel.set_title(title, fontsize=10)
    panel.set_axis_off()


def _grid(images, columns=None):
    """One image of all images, with a pixel of space between them."""
    columns = columns or int(np.ceil(np.sqrt(len(images))))
    rows = int(np.ceil(len(images) / columns))
    height, width, *channels = images.shape[1:]
    canvas = np.full([rows * (height + 1), columns * (width + 1), *channels], 0.15)
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        canvas[top : top + height, left : left + width] = image
    return canvas[:-1, :-1]
