"""Likelihoods p(x|z): from a decoder's output to the distribution of x, the data they can score, and their mean."""

from tfp_iaf.likelihoods._short_forms import get, serialize
from tfp_iaf.likelihoods.base import FromFunction, Likelihood
from tfp_iaf.likelihoods.bernoulli import Bernoulli
from tfp_iaf.likelihoods.discretized_logistic import DiscretizedLogistic
from tfp_iaf.likelihoods.normal import Normal

__all__ = ["Bernoulli", "DiscretizedLogistic", "FromFunction", "Likelihood", "Normal", "get", "serialize"]
