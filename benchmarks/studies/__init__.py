"""One file per study: its settings, its variants, and how its model is made.

A study is a module with

- `SETTINGS`: a dict for JSON of everything that a run depends on, beside its seed (see `settings.DEFAULTS`);
- `VARIANTS`: name -> the settings that differ;
- `make_model(settings, data_shape, seed)`: the built model;
- optionally `make_optimizer(settings)`, in place of the one of `examples/optimizers.py`, and `initialize(model, x_train, seed)`,
  called before the first step.
"""

NAMES = ("deep-mnist", "small-mlp-ours", "small-mlp-published")


def module_name(study):
    """The module of a study: `benchmarks.studies.deep_mnist` of "deep-mnist"."""
    return f"{__name__}.{study.replace('-', '_')}"
