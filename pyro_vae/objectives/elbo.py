"""The evidence lower bound."""

from __future__ import annotations

from torch import Tensor

from pyro_vae.terms.table import Terms

from .weighted import WeightedELBO


class ELBO(WeightedELBO):
    r"""The evidence lower bound,

    .. math:: \log p(x) \ge \mathbb E_{q(z|x)}[\log p(x|z)] - \mathrm{KL}(q(z|x) \,\|\, p(z)).

    Kingma and Welling 2014, *Auto-Encoding Variational Bayes*.

    Args:
        kl: ``"analytic"`` takes each KL in closed form and raises
            :class:`~pyro_vae.terms.ProgramError` naming the site that has none;
            ``"sampled"`` estimates it by log q - log p; ``"auto"`` takes the closed form where
            there is a valid one (``explain`` says where).
        particles: samples of the guide for each example.
        vectorize: draw them in one pass.
        estimator: how gradients go through the guide's samples: a name or an object for all
            sites, or a mapping from sites; a site's own ``infer={"estimator": ...}`` comes first.
            By default ``"pathwise"`` where the site is reparameterised and ``"score"`` elsewhere.
            Others are ``"stl"``, ``"running-mean"``, ``"learned"``, ``"leave-one-out"``,
            ``"enumerate"``, and the biased ``"gumbel-softmax"`` and ``"straight-through"``. The
            value of the bound is the same with each. One that is not legal at a site raises
            :class:`~pyro_vae.terms.ProgramError` naming it. Where it is ``"stl"`` or a score
            function's, the site's KL is sampled; where it is relaxed, taken in closed form.

    Equal, in value and every gradient, to Pyro's ``Trace_ELBO`` (``"sampled"``) and
    ``TraceMeanField_ELBO`` (``"analytic"``) at the same random numbers, and with ``"enumerate"``
    to ``TraceEnum_ELBO``.

    >>> import pyro, torch, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 2, 0.5**0.5))   # the exact posterior
    >>> x = torch.tensor([0.0, 2.0])
    >>> round(ELBO(kl="sampled").loss(model, guide, x), 4)       # so the bound is log p(x)
    3.531
    """

    def bound(self, terms: Terms) -> Tensor:
        return self.weighted(terms, {})
