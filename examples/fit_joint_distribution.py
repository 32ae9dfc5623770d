"""The posterior of a joint distribution by NUTS, by Gaussians, by an inverse autoregressive flow, and by NUTS through the flow.

In both targets a scale is unknown, which bends and narrows the density:

    eight_schools   mu ~ N(0, 10^2), log tau ~ N(1, 1), theta_j ~ N(mu, tau^2), y_j ~ N(theta_j, s_j^2); data of Rubin (1981)
    funnel          v ~ N(0, 3^2), x_j ~ N(0, exp(v)), j = 1..9, Neal's funnel, without data

    python examples/fit_joint_distribution.py --out=eight_schools.png

The Gaussians are TFP's surrogates: a factored one (mean field), and an affine one, whose covariance is full. The last way is
NeuTra (Hoffman et al. 2019): the chains of NUTS move in the flow's noise, where the posterior is nearly a standard normal. The
table says what each way finds, and the lines below it how many effective draws per second NUTS makes.
"""

# ruff: noqa: E402

import functools
import pathlib
import sys
import time

import command_line
from absl import app, flags, logging

TARGET_NAMES = ("eight_schools", "funnel")

FLAGS = flags.FLAGS
flags.DEFINE_enum("target", "eight_schools", TARGET_NAMES, "The joint distribution.")
flags.DEFINE_string("out", None, "Picture to write, by default runs/TARGET.png; figures and draws go beside it.")
flags.DEFINE_integer("num_fits", 3, "Fits of the flow, each from a seed of its own.", lower_bound=1)
flags.DEFINE_integer("chains", 16, "Chains of NUTS, which run side by side.", lower_bound=2)
flags.DEFINE_integer("draws", 1000, "Draws per chain, after half as many of adaptation.", lower_bound=10)
flags.DEFINE_integer("seed", 0, "Seed of the first fit, and of the chains.", lower_bound=0)
flags.DEFINE_bool("smoke", False, "A run of seconds.")

if __name__ == "__main__":
    command_line.parse()

import keras
import matplotlib

matplotlib.use("Agg")

import json_files
import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import training
from provenance import provenance

from tfp_iaf import vi

tfb, tfd = tfp.bijectors, tfp.distributions

EFFECTS = np.array([28, 8, -3, 7, -1, 1, 18, 12], np.float32)
STANDARD_ERRORS = np.array([15, 10, 16, 11, 9, 11, 10, 18], np.float32)
TARGET_ACCEPTANCE = 0.9


@tfd.JointDistributionCoroutineAutoBatched
def eight_schools():
    mu = yield tfd.Normal(0.0, 10.0, name="mu")
    log_tau = yield tfd.Normal(1.0, 1.0, name="log_tau")
    theta = yield tfd.Sample(tfd.Normal(mu, tf.exp(log_tau)), 8, name="theta")
    yield tfd.Normal(theta, STANDARD_ERRORS, name="y")


@tfd.JointDistributionCoroutineAutoBatched
def funnel():
    v = yield tfd.Normal(0.0, 3.0, name="v")
    yield tfd.Sample(tfd.Normal(0.0, tf.exp(0.5 * v)), 9, name="x")


def load(name):
    """(the joint distribution, pinned to its data; the unknowns' names; those in the table, of which two are pictured)."""
    if name == "eight_schools":
        names = ["mu", "log_tau", *(f"theta_{k}" for k in range(1, 9))]
        return eight_schools.experimental_pin(y=EFFECTS), names, (0, 1, 2)
    return funnel, ["v", *(f"x_{k}" for k in range(1, 10))], (1, 0)


def log_density(joint):
    return joint.unnormalized_log_prob if hasattr(joint, "unnormalized_log_prob") else joint.log_prob


def as_vectors(z):
    """All unknowns, which are unconstrained in both targets, `[..., D]`."""
    parts = tf.nest.flatten(z)
    batch_rank = min(len(part.shape) for part in parts)
    return np.concatenate([np.reshape(part, [*part.shape[:batch_rank], -1]) for part in parts], axis=-1)


def fit_gaussian(joint, build):
    """A surrogate that one of TFP's functions builds."""
    keras.utils.set_random_seed(FLAGS.seed)
    surrogate = build(joint.event_shape, bijector=joint.experimental_default_event_space_bijector())
    num_steps = 5 if FLAGS.smoke else 5000
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, num_steps))
    optimizer.build(surrogate.trainable_variables)

    @tf.function(autograph=False)
    def fit():
        return tfp.vi.fit_surrogate_posterior(
            log_density(joint), surrogate, optimizer, num_steps=num_steps, sample_size=64, seed=[FLAGS.seed, 1]
        )

    fit()
    return surrogate


def fit_flow(joint, seed):
    """The recipe of the documentation, with its defaults."""
    keras.utils.set_random_seed(seed)
    surrogate = vi.build_iaf_surrogate_posterior(joint, seed=seed, **({"num_flows": 1} if FLAGS.smoke else {}))
    vi.fit(joint, surrogate, seed=seed, **({"num_steps": 5, "sample_size": 8} if FLAGS.smoke else {}))
    return surrogate


def surrogate_row(joint, fit, seed):
    """(the figures of one surrogate, 10,000 of its draws, the surrogate)."""
    start = time.process_time()
    surrogate = fit()
    seconds = time.process_time() - start
    diagnosis = vi.diagnose(joint, surrogate, seed=seed)
    draws = as_vectors(surrogate.sample(10_000, seed=[seed, 2]))
    figures = {
        "mean": draws.mean(axis=0).tolist(),
        "sd": draws.std(axis=0).tolist(),
        "effective_sample_size_per_draw": diagnosis.effective_sample_size,
        "pareto_k": diagnosis.pareto_k,
        "elbo": diagnosis.elbo,
        "log_evidence": diagnosis.log_evidence,
        "seconds": seconds,
    }
    return figures, draws, surrogate


def run_nuts(log_prob, start, bijector=None):
    """(figures, draws `[draws, chains, D]`) of NUTS on vectors, in the noise of a bijector if there is one.

    The time is the shortest of three runs of the compiled function, adaptation and draws together, in processor seconds: a busy
    machine slows both ways down, but not at the same moment.
    """
    num_burnin = FLAGS.draws // 2
    kernel = tfp.mcmc.NoUTurnSampler(log_prob, step_size=0.1 if bijector is None else 0.5)
    if bijector is not None:
        kernel = tfp.mcmc.TransformedTransitionKernel(kernel, bijector)
    kernel = tfp.mcmc.DualAveragingStepSizeAdaptation(
        kernel, num_adaptation_steps=int(0.8 * num_burnin), target_accept_prob=TARGET_ACCEPTANCE
    )

    @tf.function(jit_compile=not FLAGS.smoke, autograph=False)
    def sample(seed):
        return tfp.mcmc.sample_chain(
            FLAGS.draws,
            current_state=start,
            kernel=kernel,
            num_burnin_steps=num_burnin,
            trace_fn=leapfrogs_taken,
            seed=seed,
        )

    sample(tf.constant([FLAGS.seed, 3]))  # Compiles.
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        draws, leapfrogs = (part.numpy() for part in sample(tf.constant([FLAGS.seed, 4])))
        seconds.append(time.process_time() - begin)
    seconds = min(seconds)
    effective = tfp.mcmc.effective_sample_size(draws, filter_beyond_positive_pairs=True, cross_chain_dims=1).numpy()
    figures = {
        "mean": draws.mean(axis=(0, 1)).tolist(),
        "sd": draws.std(axis=(0, 1)).tolist(),
        "smallest_effective_sample_size": float(effective.min()),
        "effective_sample_size_per_draw": float(effective.min()) / (FLAGS.draws * FLAGS.chains),
        "largest_split_r_hat": float(
            tfp.mcmc.potential_scale_reduction(draws, independent_chain_ndims=1, split_chains=True).numpy().max()
        ),
        "leapfrogs_per_draw": float(leapfrogs.mean()),
        "seconds": seconds,
        "effective_draws_per_second": float(effective.min()) / seconds,
    }
    return figures, draws


def leapfrogs_taken(_, results):
    while not hasattr(results, "leapfrogs_taken"):
        results = results.inner_results
    return results.leapfrogs_taken


def table(rows, names, shown):
    """The figures as Markdown, one row per way."""
    headers = [
        "",
        *(f"{names[k]}: mean / sd" for k in sorted(shown)),
        "effective sample size per draw",
        "Pareto k",
        "processor seconds",
    ]
    cells = [
        [
            title,
            *(f"{figures['mean'][k]:.2f} / {figures['sd'][k]:.2f}" for k in sorted(shown)),
            f"{figures['effective_sample_size_per_draw']:.1%}",
            f"{figures['pareto_k']:.2f}" if "pareto_k" in figures else "",
            f"{figures['seconds']:.1f}",
        ]
        for title, figures in rows.items()
    ]
    return training.markdown_table(headers, cells)


def draw(panels, names, shown, path):
    """Each way's draws of two unknowns, on the axes of the first panel's."""
    across, up = shown[:2]
    first = next(iter(panels.values()))
    limits = [np.quantile(first[:, k], [0.002, 0.998]) for k in (across, up)]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(3.2 * len(panels), 3.4), sharex=True, sharey=True, layout="constrained"
    )
    for axis, (title, draws) in zip(axes, panels.items()):
        axis.scatter(draws[:4000, across], draws[:4000, up], s=2, alpha=0.25, linewidths=0)
        axis.set(title=title, xlabel=names[across], xlim=limits[0], ylim=limits[1])
    axes[0].set_ylabel(names[up])
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def main(_):
    logging.set_verbosity(logging.ERROR)  # TensorFlow takes several fits for retracing.
    if FLAGS.smoke:
        FLAGS.num_fits, FLAGS.chains, FLAGS.draws = 1, 2, 10
    out = pathlib.Path(FLAGS.out or f"runs/{FLAGS.target}.png")
    out.parent.mkdir(parents=True, exist_ok=True)
    joint, names, shown = load(FLAGS.target)
    rows, fits = {}, []
    rows["mean field"], mean_field, _ = surrogate_row(
        joint, lambda: fit_gaussian(joint, tfp.experimental.vi.build_factored_surrogate_posterior), FLAGS.seed
    )
    rows["affine"], affine, _ = surrogate_row(
        joint,
        lambda: fit_gaussian(joint, functools.partial(tfp.experimental.vi.build_affine_surrogate_posterior, operators="tril")),
        FLAGS.seed,
    )
    for seed in range(FLAGS.seed, FLAGS.seed + FLAGS.num_fits):
        fits.append(surrogate_row(joint, lambda seed=seed: fit_flow(joint, seed), seed))
        rows[f"IAF, seed {seed}"] = fits[-1][0]
        print(f"Seed {seed}: effective sample size {fits[-1][0]['effective_sample_size_per_draw']:.1%} per draw", flush=True)
    # The first fit's bijector: from noise to a vector, and on to the joint distribution's structure.
    surrogate = fits[0][2]
    structure, *flows = surrogate.bijector.bijectors
    log_prob = log_density(joint)
    start = surrogate.sample(FLAGS.chains, seed=[FLAGS.seed, 5])
    start = structure.inverse(start)

    def log_prob_of_vectors(u):
        return log_prob(structure.forward(u)) + structure.forward_log_det_jacobian(u, event_ndims=1)

    rows["NUTS"], nuts = run_nuts(log_prob_of_vectors, start)
    rows["NUTS through the IAF"], neutra = run_nuts(log_prob_of_vectors, start, tfb.Chain(flows))
    rows = {"NUTS": rows.pop("NUTS"), **rows}
    ratio = rows["NUTS through the IAF"]["effective_draws_per_second"] / rows["NUTS"]["effective_draws_per_second"]
    panels = {"NUTS": nuts, "mean field": mean_field, "affine": affine, "IAF": fits[0][1], "NUTS through the IAF": neutra}
    rng = np.random.default_rng(FLAGS.seed)
    panels = {title: rng.permutation(draws.reshape([-1, len(names)])) for title, draws in panels.items()}
    draw(panels, names, shown, out)
    pictured = {title: draws[:4000, shown[:2]].astype(np.float16) for title, draws in panels.items()}
    np.savez_compressed(out.with_suffix(".npz"), **pictured)
    settings = {name: FLAGS[name].value for name in ("target", "num_fits", "chains", "draws", "seed")}
    figures = {"names": names, "rows": rows, "neutra_ratio": ratio, "settings": settings}
    json_files.write(out.with_suffix(".json"), {**figures, **provenance()})
    print(f"\n{table(rows, names, shown)}\n")
    for title in ("NUTS", "NUTS through the IAF"):
        print(f"{title}: {rows[title]['effective_draws_per_second']:.1f} effective draws per second, of the worst unknown")
    print(f"Ratio: {ratio:.1f}. Wrote {out}.")


if __name__ == "__main__":
    sys.exit(app.run(main))
