"""Tables with names of columns and rows."""

import keras
import numpy as np
import pytest

from tfp_iaf import ConditionalDensity, distributed
from tfp_iaf._tensors import array_of_numbers
from tfp_iaf.posteriors import IAF

RNG = np.random.default_rng(0)


class Index(list):
    def equals(self, other):
        return self == other


class Frame:
    """What this package reads of a pandas DataFrame."""

    def __init__(self, columns, rows, dtypes=None):
        self.columns, self.index = columns, Index(rows)
        self.values = np.asarray(RNG.normal(size=[len(rows), len(columns)]), object if dtypes else float)
        self.shape = self.values.shape
        self.dtypes = dtypes or [np.dtype(float)] * len(columns)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def make():
    model = ConditionalDensity(
        keras.layers.Dense(4), IAF(1, num_flows=1, hidden_units=(4,), bijector_fn="spline", context_size=2)
    )
    model.compile("adam")
    return model


def test_columns_are_those_that_fit_has_seen(tmp_path):
    model, y, condition = make(), Frame(["y"], range(8)), Frame(["age", "income"], range(8))
    model.fit((y, condition), verbose=0)
    model.save(tmp_path / "model.keras")
    for each in (model, keras.models.load_model(tmp_path / "model.keras")):
        expected = each.log_prob(y, condition)
        # Arrays have no names.
        np.testing.assert_array_equal(each.log_prob(y, condition.values), expected)
        for columns, message in (
            (["income", "age"], "condition must have the columns .* column 1 was 'age', and is 'income' now"),
            (["age", "income", "height"], "column 3 was missing, and is 'height' now"),
            (["age"], "column 2 was 'income', and is missing now"),
        ):
            with pytest.raises(ValueError, match=message):
                each.log_prob(y, Frame(columns, range(8)))
        with pytest.raises(ValueError, match=r"data must have the columns .* column 1 was 'y', and is 'z' now"):
            each.evaluate((Frame(["z"], range(8)), condition), verbose=0)


def test_columns_of_a_condition_alone():
    """Samples, features and distributions are of a condition without y."""
    model, condition = make(), Frame(["age", "income"], range(8))
    model.fit((Frame(["y"], range(8)), condition), verbose=0)
    other = Frame(["income", "age"], range(8))
    for call in (
        lambda given: model.sample(2, seed=0, condition=given),
        lambda given: model.encode(given),
        lambda given: model.distribution(given).sample(seed=0),
    ):
        assert np.isfinite(call(condition)).all()
        with pytest.raises(ValueError, match="column 1 was 'age', and is 'income' now"):
            call(other)


def test_what_has_no_names_of_columns():
    class Numbered(Frame):
        """Columns that are data."""

        def __init__(self):
            super().__init__(["age", "income"], range(8))
            self.columns = [self.values[:, 0], self.values[:, 1]]

    model = make()
    model.fit((Frame(["y"], range(8)), Numbered()), verbose=0)
    assert model.column_names == [["y"], None]


def test_a_fit_that_fails_leaves_the_names_as_they_were():
    model = make()
    with pytest.raises(ValueError):
        model.fit((Frame(["y"], range(8)), Frame(["a"], range(8))), validation_data=np.ones([2, 2, 2]), verbose=0)
    assert model.column_names == [None, None]


def test_an_unbuilt_model_is_made_of_its_json():
    twin = keras.models.model_from_json(make().to_json())
    assert not twin.built
    twin.compile("adam")
    twin.fit((Frame(["y"], range(8)), Frame(["a"], range(8))), verbose=0)


def test_rows_go_together_by_their_place():
    with pytest.raises(ValueError, match=r"must have equal indexes.*condition.loc\[x.index\]"):
        make().fit((Frame(["y"], range(8)), Frame(["age"], range(8)[::-1])), verbose=0)


def test_columns_that_hold_no_numbers_are_named():
    table = Frame(["age", "group"], range(8), dtypes=[np.dtype(float), np.dtype(object)])
    with pytest.raises(ValueError, match="condition must be real numbers, got dtype object in group: encode categories"):
        make().fit((Frame(["y"], range(8)), table), verbose=0)


def test_columns_of_validation_data_in_the_first_fit():
    model, condition = make(), Frame(["age", "income"], range(8))
    y, other = Frame(["y"], range(8)), Frame(["income", "age"], range(8))
    with pytest.raises(ValueError, match="column 1 was 'age', and is 'income' now"):
        model.fit((y, condition), validation_data=(y, other), verbose=0)
    # A fit that was refused leaves no names.
    model.fit((y, other), validation_data=(y, other), verbose=0)
    assert model.column_names == [["y"], ["income", "age"]]


def test_columns_of_a_distributed_fit():
    model, y = make(), Frame(["y"], range(8))
    condition, other = Frame(["age", "income"], range(8)), Frame(["income", "age"], range(8))
    model.compile("adam", jit_compile=False)
    with pytest.raises(ValueError, match="column 1 was 'age', and is 'income' now"):
        distributed.fit(model, (y, condition), validation_data=(y, other), verbose=0)
    distributed.fit(model, (y, condition), verbose=0)
    with pytest.raises(ValueError, match="column 1 was 'age', and is 'income' now"):
        model.evaluate((y, other), verbose=0)


def test_weights_with_another_index():
    model, data = make(), (Frame(["y"], range(8)), Frame(["age", "income"], range(8)))
    weights = Frame(["weight"], range(8))
    weights.values = np.abs(weights.values)
    model.fit(data, sample_weight=weights, verbose=0)
    weights.index = Index(reversed(range(8)))
    with pytest.raises(ValueError, match=r"data and of the sample weights must have equal indexes, .* weights.loc\[x.index\]"):
        model.fit(data, sample_weight=weights, verbose=0)


class NullableFrame(Frame):
    """What this package reads of a pandas DataFrame whose columns may lack values: as an array it is one of objects."""

    class Float64:
        kind, numpy_dtype = "f", np.dtype("float64")

    def __init__(self, values):
        super().__init__(["a", "b"], range(len(values)), [self.Float64()] * 2)
        self.values = np.array(values, object)

    def isna(self):
        return np.array([[value is None for value in row] for row in self.values])

    def to_numpy(self, dtype, na_value):
        return np.array([[na_value if value is None else value for value in row] for row in self.values], dtype)


def test_columns_that_may_lack_values():
    np.testing.assert_array_equal(array_of_numbers("x", NullableFrame([[0.5, 1.0], [2.0, 3.0]])), [[0.5, 1.0], [2.0, 3.0]])
    np.testing.assert_array_equal(array_of_numbers("x", NullableFrame([[0.5, None]])), [[0.5, np.nan]])
