"""The presets of train_image_vae.py: the values of its flags, and the posteriors by name."""

POSTERIORS = {
    "diagonal": "diagonal",
    "full_covariance": "full covariance",
    "linear": "linear IAF",
    "iaf": "IAF",
}

COMMON = {
    "num_flows": 1,
    "bijector_fn": "affine",
    "weight_norm": True,
    "learning_rate": 2e-3,
    "decay_to": 1.0,
    "steps": None,
    "patience": None,
    "free_bits": 0.0,
    "ema": 0.0,
    "flip": False,
    "kl_warm_up_steps": 0,
    "elbo_samples": 16,
    "importance_samples": 128,
    "importance_images": None,
    "evaluation_rows": 4096,
}
HIERARCHICAL = {
    **COMMON,
    "data": "cifar10",
    "posterior": ["diagonal", "iaf"],
    "inference": "bidirectional",
    "flow_filters": None,
    "soft_free_bits": False,
    "recompute": False,
    "elbo_samples": 4,
    "importance_images": 1000,
}
PRESETS = {
    "mnist-resnet": {
        **COMMON,
        "data": "mnist",
        "posterior": ["diagonal", "full_covariance", "iaf"],
        "resnet_version": "final",
        "latent_size": 32,
        "num_flows": 2,
        "flow_hidden_units": ["320", "320"],
        "batch_size": 128,
        "epochs": 100,
    },
    "cifar-small": {
        **HIERARCHICAL,
        "num_layers": ["3"],
        "filters": 32,
        "latent_channels": 16,
        "patch_size": 4,
        "free_bits": 0.1,
        "batch_size": 32,
        "epochs": 20,
        "evaluation_rows": 1024,
    },
    "cifar-paper": {
        **HIERARCHICAL,
        "num_layers": ["20"],
        "filters": 160,
        "latent_channels": 32,
        "patch_size": 2,
        "free_bits": 0.25,
        "recompute": True,
        "flip": True,
        "ema": 0.999,
        "batch_size": 16,
        "epochs": 500,
        "evaluation_rows": 512,
    },
}
# For a minute's run.
_SMOKE = {
    "filters": 8,
    "num_layers": ["2"],
    "latent_channels": 2,
    "patch_size": 2,
    "epochs": 2,
    "elbo_samples": 2,
    "importance_samples": 4,
    "importance_images": 32,
}


def values_of(preset, smoke):
    """The preset's values by name; in a smoke run those of a small model on a few images."""
    values = dict(PRESETS[preset])
    if smoke:
        values |= {name: value for name, value in _SMOKE.items() if name in values}
        if preset != "mnist-resnet":
            values["data"] = "digits"  # These come with scikit-learn.
    return values
