"""The posterior that a study's settings name."""

from tfp_iaf import posteriors


def posterior(settings, seed):
    """A posterior over vectors; which settings it reads depends on `settings["posterior"]`.

    The networks of flows take `flow_activation`, and where a study has none, the activation of its other networks.
    """
    latent_size, num_flows = settings["latent_size"], settings.get("num_flows")
    networks = {
        "hidden_units": settings.get("flow_hidden_units"),
        "activation": settings.get("flow_activation", settings.get("activation")),
    }
    return {
        "diagonal": lambda: posteriors.DiagonalGaussian(latent_size, seed=seed),
        "full_covariance": lambda: posteriors.FullCovariance(latent_size, seed=seed),
        "planar": lambda: posteriors.PlanarFlow(latent_size, num_flows, seed=seed),
        "sylvester": lambda: posteriors.SylvesterFlow(
            latent_size, num_flows, num_columns=settings.get("num_columns", latent_size), seed=seed
        ),
        "nice": lambda: posteriors.NICE(latent_size, num_flows, seed=seed, **networks),
        "iaf": lambda: posteriors.IAF(latent_size, num_flows, bijector_fn=settings["bijector_fn"], seed=seed, **networks),
        "recurrent_iaf": lambda: posteriors.RecurrentIAF(
            latent_size, num_flows, units=settings["flow_hidden_units"], bijector_fn=settings["bijector_fn"], seed=seed
        ),
    }[settings["posterior"]]()
