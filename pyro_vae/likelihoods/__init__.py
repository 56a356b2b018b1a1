"""Likelihoods p(x|z): a network and an observation family."""

from .base import Likelihood
from .bernoulli import Bernoulli
from .normal import Normal

__all__ = ["Bernoulli", "Likelihood", "Normal"]
