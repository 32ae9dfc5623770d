"""Bad arguments of every kind, at every public entry point, are refused in a line that says what was given."""

import collections
import importlib
import inspect

import keras
import pytest

import tfp_iaf
from tests import test_architecture

# Every public room but formulas, which the package calls on its own tensors.
ROOMS = [room for room in test_architecture.ROOMS if not room.startswith("_") and room not in ("versions", "scales", "noise")]
# What takes nothing that could be wrong, what a user subclasses, and types of results and annotations.
WITHOUT_ENTRY = {
    *("Bernoulli", "DiscretizedLogistic", "Gated", "Location", "Blocks", "FixedPoint", "Recurrent", "Sequential"),
    *("Network", "FlowBijector", "ElementwiseMap", "Posterior", "Prior", "Likelihood", "ElboModel", "TrackedLayer"),
    *("Equation", "ImplicitInverse", "Inverse", "OwnFlow", "MapLike", "KernelBlocks", "AmortizedSurrogatePosterior"),
    *("Diagnosis", "Fit"),
    # Called by the package on its own objects.
    *(
        "density_dtype",
        "folded_masks",
        "serialize",
        "degree_array",
        "scale_gradient",
        "is_chief",
        "ConvInverseAutoregressiveFlow",
    ),
}


@pytest.fixture
def fuzz():
    # Its tables make a hundred objects: not while tests are collected.
    module = importlib.import_module("tests.inputs.fuzz")
    with module.whole_tracebacks():
        yield module


def wrong_outcomes(fuzz, cases):
    """Lines about the cases that are not refused as they should be."""
    outcomes = [(case, *fuzz.outcome(case)) for case in cases]
    return [f"{name}: {case}: {line}" for case, name, line in outcomes if name != "right line"]


def test_a_case_of_every_entry_point(fuzz):
    assert not wrong_outcomes(fuzz, fuzz.few_cases())


def test_the_table_is_complete(fuzz):
    """Every public class and function has an entry; the kinds and cases are as many as promised."""
    names = {entry.name.split(".")[-1] for entry in fuzz.ENTRIES} | {entry.name.split(".")[0] for entry in fuzz.ENTRIES}
    rooms = [getattr(tfp_iaf, room) for room in ROOMS]
    public = {
        name
        for room in [*rooms, tfp_iaf.bijectors.maps, tfp_iaf.bijectors.inverses]
        for name in room.__all__
        if callable(getattr(room, name)) and not inspect.ismodule(getattr(room, name))
    }
    assert not public - names - WITHOUT_ENTRY
    assert sorted(fuzz.rooms()) == sorted(ROOMS)
    assert len(fuzz.VALUES) + sum(map(len, fuzz.MISTAKES.values())) + len(fuzz.CALLS) >= 100


@pytest.mark.long
@pytest.mark.parametrize("room", ROOMS)
def test_every_case(fuzz, room):
    wrong = wrong_outcomes(fuzz, fuzz.all_cases(room))
    assert not wrong, "\n".join(wrong)


def test_the_outcomes_can_be_wrong(fuzz):
    """Each kind of wrong outcome is found."""

    def silent(value):
        return float("nan")

    def refuses(message, error=ValueError):
        def call(value):
            raise error(message)

        return call

    def by_chance(value):
        return value.shape

    from tests.inputs import entries, roles

    functions = {
        "right line": refuses("value must be a number, got 'nonsense'."),
        "other error": refuses("value must be a number."),
        "several": refuses("value must be\n'nonsense'."),
        "class": refuses("'nonsense'", KeyError),
        "by chance": by_chance,
        "accepted": lambda value: None,
        "silent fault": silent,
    }
    found = collections.Counter()
    for function in functions.values():
        entry = entries.Entry("room", "name", function, dict, ("value",), (), {"value": roles.NEVER})
        found[fuzz.outcome(fuzz.Case(entry, "value", fuzz.VALUES["an unknown word"]))[0]] += 1
    assert found == {"right line": 1, "other error": 4, "accepted": 1, "silent fault": 1}


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: vae(posterior=tfp_iaf.IAF), "IAF"),
        (lambda: vae(likelihood=tfp_iaf.likelihoods.Normal), "Normal"),
        (lambda: vae(prior=tfp_iaf.priors.StandardNormal), "StandardNormal"),
        (lambda: vae(encoder=keras.layers.Flatten), "Flatten"),
        (lambda: vae(decoder=keras.layers.Dense), "Dense"),
        (lambda: tfp_iaf.IAF(2, bijector_fn=tfp_iaf.bijectors.maps.Spline), "Spline"),
        (lambda: tfp_iaf.IAF(2, inverse=tfp_iaf.bijectors.inverses.Blocks), "Blocks"),
        (lambda: tfp_iaf.InverseAutoregressiveFlow(tfp_iaf.AutoregressiveNetwork), "AutoregressiveNetwork"),
        (lambda: tfp_iaf.vi.without_features(tfp_iaf.PlanarFlow), "PlanarFlow"),
    ],
)
def test_a_class_in_the_place_of_an_object(call, name):
    with pytest.raises(ValueError, match=rf"got the class {name} \(pass an object: {name}\(\.\.\.\)\)\.$"):
        call()


def vae(**parts):
    dense = keras.layers.Dense(4)
    return tfp_iaf.VAE(**{"encoder": dense, "posterior": tfp_iaf.DiagonalGaussian(2), "decoder": dense, **parts})
