"""One file per study: its settings, its variants, and how its model is made.

A study is a module with

- `SETTINGS`: a dict for JSON of what a run depends on beside its seed; `DEFAULTS` holds what it leaves out;
- `VARIANTS`: name -> the settings that differ;
- `make_model(settings, data_shape, seed)`: the model, not yet built;
- where it needs them, `make_optimizer(settings)` in place of the one of `examples/optimizers.py`, and
  `initialize(model, x_train, seed)`, called before the first step; and `load_data(source)`, the splits, in place of the one of
  `examples/datasets.py`.
"""

NAMES = (
    "caltech-silhouettes",
    "deep-mnist",
    "natural-images",
    "omniglot",
    "small-mlp-ours",
    "small-mlp-published",
    "static-mnist",
    "table-1",
)

DEFAULTS = {
    # Of the rate: constant, or falling linearly to this fraction at the last step.
    "decay_to": 1.0,
    # Momentum of the weights' moving average, which is then what is validated and evaluated.
    "ema": 0.0,
    "kl_warm_up_steps": 0,
    "free_bits": 0.0,
    # Training ends after more than so many validations in a row without a gain.
    "patience": None,
    "batch_size": 128,
    "steps_per_validation": 1000,
    # Steps per call of the compiled training function.
    "steps_per_execution": 50,
    "jit_compile": True,
    "elbo_samples": 16,
}


def module_name(study):
    """The module of a study: `benchmarks.studies.deep_mnist` of "deep-mnist"."""
    return f"{__name__}.{study.replace('-', '_')}"


def settings_of(study, variant):
    """The settings of a variant of a study's module.

    Raises:
        ValueError: for an unknown variant.
    """
    if variant not in study.VARIANTS:
        raise ValueError(f"--variant={variant}: expected one of {', '.join(study.VARIANTS)}.")
    return {**DEFAULTS, **study.SETTINGS, **study.VARIANTS[variant]}
