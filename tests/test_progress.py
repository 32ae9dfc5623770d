import sys

import keras
import numpy as np
import pytest

from tfp_iaf import VAE, DiagonalGaussian

X = np.zeros([4, 6], np.float32)
LINE = "Compiling the training step"


def make(**kwargs):
    model = VAE(keras.Sequential([keras.layers.Dense(4)]), DiagonalGaussian(2), keras.Sequential([keras.layers.Dense(6)]))
    model.compile("sgd", **kwargs)
    return model


def test_fit_says_once_that_it_compiles(capsys, monkeypatch):
    model = make()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    model.fit(X)
    assert capsys.readouterr().out.count(LINE) == 1
    model.fit(X)
    assert LINE not in capsys.readouterr().out


def test_an_output_without_isatty_is_no_terminal(monkeypatch):
    class Output:
        def write(self, text):
            return len(text)

        def flush(self):
            pass

    model = make()
    monkeypatch.setattr(sys, "stdout", Output())
    model.fit(X)


@pytest.mark.parametrize(("settings", "verbose", "terminal"), [({}, 0, True), ({}, 1, False), ({"run_eagerly": True}, 1, True)])
def test_fit_says_nothing_unless_somebody_waits(capsys, monkeypatch, settings, verbose, terminal):
    model = make(**settings)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    model.fit(X, verbose=verbose)
    assert LINE not in capsys.readouterr().out
