"""Variational autoencoders as explicit probabilistic programs in Pyro.

A VAE is two programs and one bound: a ``model`` p(x, z), a ``guide`` q(z|x), and the ELBO. Bayes'
rule is the list of folders: ``priors`` p(z) and ``likelihoods`` p(x|z) make the model,
``posteriors`` q(z|x) make the guide.
"""

from . import (
    checks,
    data,
    estimators,
    evaluation,
    flows,
    likelihoods,
    networks,
    objectives,
    plots,
    posteriors,
    priors,
    programs,
    schedules,
    terms,
    training,
)
from .objectives import ELBO, explain
from .terms import ProgramError
from .training import fit

__version__ = "0.1.0"

__all__ = [
    "ELBO",
    "ProgramError",
    "checks",
    "data",
    "estimators",
    "evaluation",
    "explain",
    "fit",
    "flows",
    "likelihoods",
    "networks",
    "objectives",
    "plots",
    "posteriors",
    "priors",
    "programs",
    "schedules",
    "terms",
    "training",
]
