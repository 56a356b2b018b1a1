"""Model and guide, each taught by the other's samples."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_vae.terms.log_weights import log_mean_exp, log_p, log_q, summed, with_gradient
from pyro_vae.terms.table import Terms

from .dreams import dreamt_log_q
from .fixed_samples import FixedSamples, require_fixed


class WakeSleepELBO(FixedSamples):
    r"""Reweighted wake-sleep (RWS), with weights for each example,

    .. math::
        \nabla_\theta: \sum_k \tilde w_k \nabla_\theta \log p(x, z_k), \qquad
        \nabla_\phi: (1 - s) \sum_k \tilde w_k \nabla_\phi \log q(z_k|x)
        + s\, \nabla_\phi \log q(z'|x'), \quad (z', x') \sim p,

    where :math:`\tilde w_k = w_k / \sum_j w_j` are the normalised importance weights of one
    example, never of a mini-batch. Its value is the importance-weighted bound, in nats; theta
    follows that bound, while phi minimises KL(p(z|x) || q(z|x)) on data (wake) and on dreams
    (sleep). No gradient goes through a sample, so latents may be discrete.

    Args:
        particles: K.
        sleep: s, the part of the sleep phase in the guide's gradient, from 0 to 1. Dreams are as
            many as the examples; the model is run with nothing observed, and the guide on what it
            puts out, so the data must be arguments that the model observes as they are.
        vectorize: draw the particles in one pass.

    Raises ``ValueError`` for another ``sleep`` or one particle without it, and
    :class:`~pyro_vae.terms.ProgramError` naming the site, where a latent lies outside the data
    plate or, for dreams, where an observed site does not observe an argument.

    Source: Bornschein and Bengio 2015, *Reweighted Wake-Sleep*; Le, Kosiorek, Siddharth, Teh and
    Wood 2019, *Revisiting Reweighted Wake-Sleep for Models with Stochastic Control Flow*.

    >>> import pyro, pyro.distributions as dist
    >>> logit = torch.tensor(0.0, requires_grad=True)
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         b = pyro.sample("b", dist.Bernoulli(0.5))
    ...         pyro.sample("x", dist.Normal(b, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("b", dist.Bernoulli(logits=logit))
    >>> _ = torch.manual_seed(0)
    >>> WakeSleepELBO(1000).differentiable_loss(model, guide, torch.tensor([2.0])).backward()
    >>> round(0.5 - logit.grad.item(), 1)                # towards p(b=1|x) = 0.818
    0.8
    """

    def __init__(self, particles: int = 5, sleep: float = 0.0, vectorize: bool = True) -> None:
        if not 0.0 <= sleep <= 1.0:
            raise ValueError(f"sleep is a part, from 0 to 1, not {sleep!r}")
        super().__init__(particles, vectorize)
        if particles < 2 and sleep < 1.0:
            raise ValueError("particles is at least 2: the only weight of one sample is always 1")
        self.sleep = float(sleep)

    def bound(self, terms: Terms) -> Tensor:
        require_fixed(terms)
        log_weights = terms.log_weights
        weight = log_weights.detach().softmax(0)
        followed = (weight * (log_p(terms) + (1.0 - self.sleep) * log_q(terms))).sum(0)
        if self.sleep > 0.0 and torch.is_grad_enabled():
            followed = followed + self.sleep * dreamt_log_q(terms)
        return summed(terms, with_gradient(log_mean_exp(log_weights), followed))

    def notes(self) -> list[str]:
        """What to know of this bound."""
        return [
            "phi follows no bound of log p(x) but the guide's own fit, to "
            + ("dreams of the model" if self.sleep == 1.0 else "the weighted samples")
        ]
