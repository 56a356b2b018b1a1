"""The KL cut into three parts, each with a weight of its own."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from pyro_vae.schedules import Schedule
from pyro_vae.terms.counts import batch_size
from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.factors import factors
from pyro_vae.terms.kl import KL
from pyro_vae.terms.latents import records
from pyro_vae.terms.site import SiteTerm
from pyro_vae.terms.table import Terms
from pyro_vae.terms.weights import Weight

from .argument_checks import check_not_negative, check_word
from .regularised import RegularisedELBO

Sampling = Literal["stratified", "weighted"]


class TotalCorrelationELBO(RegularisedELBO):
    r"""beta-TCVAE: weights on mutual information, total correlation and the KL of each dimension.

    .. math:: \mathbb E_{q(z|x)}[\log p(x|z)] - \alpha\, I_q(x; z)
        - \beta\, \mathrm{KL}\Bigl(q(z) \,\Big\|\, \prod_d q(z_d)\Bigr)
        - \gamma \Bigl(\mathbb E_{q(z)}\bigl[\textstyle\sum_d \log q(z_d)\bigr]
        - \mathbb E_{q(z)}[\log p(z)]\Bigr)

    With all weights 1 the parts add up to the KL, sampled: the ELBO. The aggregate q(z) of N
    examples is estimated from the mini-batch of B,

    .. math:: q(z_i) \approx \sum_j w_{ij}\, q(z_i|x_j),

    by ``"stratified"`` sampling with :math:`w_{ii} = 1/N,\ w_{ij} = (N-1)/(N(B-1))`, which is
    unbiased and, for a whole data set in one batch, exact (it is the paper's estimator, averaged
    over which example is taken last), or by ``"weighted"`` sampling with :math:`w_{ij} = 1/(NB)`,
    which is too small (by B, for a whole data set), but never finds the term of an example itself
    lighter than the others. The logarithms of both are biased.

    Chen, Li, Grosse and Duvenaud 2018, *Isolating Sources of Disentanglement in VAEs*.

    Args:
        alpha, beta, gamma: the weights, at least 0, or schedules.
        examples: N; ``None`` to take it from a subsampling data plate, or as ``fit`` sets it.
        sampling: ``"stratified"`` or ``"weighted"``.
        site: the latent, where there are several.
        kl: of the other latents, see :class:`ELBO`; the parts here are sampled.
        particles, vectorize: see :class:`ELBO`.

    Raises :class:`~pyro_vae.terms.ProgramError` where q(z|x) is not a product over the
    latent dimensions, or N is not known; ``ValueError`` for weights below 0 (of schedules: at
    their start).

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    ...         pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x, 0.1).to_event(1))
    >>> x = torch.linspace(-1, 1, 50).unsqueeze(-1).expand(50, 2)     # two equal dimensions
    >>> losses = [TotalCorrelationELBO(1.0, beta, 1.0, examples=50) for beta in (1.0, 2.0)]
    >>> _ = torch.manual_seed(0); one = losses[0].loss(model, guide, x)
    >>> _ = torch.manual_seed(0); two = losses[1].loss(model, guide, x)
    >>> 1.0 < (two - one) / 50 < 2.0                     # the total correlation, nats
    True
    """

    alpha: Tensor
    beta: Tensor
    gamma: Tensor

    def __init__(
        self,
        alpha: float | Schedule = 1.0,
        beta: float | Schedule = 6.0,
        gamma: float | Schedule = 1.0,
        examples: int | None = None,
        sampling: Sampling = "stratified",
        site: str | None = None,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
    ) -> None:
        super().__init__(site, kl, particles, vectorize)
        for name, value in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
            self.add_weight(name, value)
            check_not_negative(name, getattr(self, name))
        if examples is not None and (not isinstance(examples, int) or examples < 1):
            raise ValueError(f"examples is a whole number of at least 1, not {examples!r}")
        self.examples = examples
        self.sampling = check_word("sampling", sampling, ("stratified", "weighted"))

    def kl_weight(self) -> Weight:
        return 0.0

    def penalty(self, terms: Terms, site: SiteTerm) -> Tensor:
        each = log_densities(terms, site)
        weights = log_weights(each.shape[-2], self._examples(terms), self.sampling, each)
        joint = torch.logsumexp(weights + each.sum(-1), -1)
        product = torch.logsumexp(weights.unsqueeze(-1) + each, -2).sum(-1)
        assert site.log_q is not None and site.log_p is not None
        parts = (
            (self.alpha, site.log_q - joint),
            (self.beta, joint - product),
            (self.gamma, product - site.log_p),
        )
        return torch.stack([weight.to(part.dtype) * part.mean() for weight, part in parts]).sum()

    def _examples(self, terms: Terms) -> int:
        size = batch_size(terms)
        plates = [f for s in terms.values() for f in s.site["cond_indep_stack"]]
        full = [f.full_size for f in plates if f.name == terms.data_plate and f.full_size]
        examples = full[0] if full and full[0] > size else self.examples
        if examples is None:
            raise ProgramError(
                "TotalCorrelationELBO needs to know how many examples the data set has: give it "
                "examples=len(data)"
            )
        if examples < size:
            raise ProgramError(
                f"TotalCorrelationELBO(examples={examples}) has a mini-batch of {size}: examples "
                "is the size of the whole data set"
            )
        return int(examples)


def log_densities(terms: Terms, site: SiteTerm) -> Tensor:
    r"""log q(z_i^d | x_j) of every example's draw under every example's posterior.

    Shape ``(particles, i, j, latent)``.
    """
    size, passes = batch_size(terms), len(terms.traces)
    rows = []
    for _, q in records(terms, site):
        base = factors(q["fn"], site.name, "guide", "TotalCorrelationELBO")
        (dim,) = [f.dim for f in q["cond_indep_stack"] if f.name == terms.data_plate]
        dim = dim - len(site.event_shape)
        # z_i goes to the front, and a new dimension stands where the posteriors' j is.
        each = base.log_prob(q["value"].movedim(dim, 0).unsqueeze(dim))
        rows.append(each.reshape(size, terms.particles // passes, size, -1).transpose(0, 1))
    return torch.cat(rows)


def log_weights(batch: int, examples: int, sampling: Sampling, like: Tensor) -> Tensor:
    """log w_ij of the aggregate's estimate, ``(batch, batch)``, with the type of ``like``.

    >>> log_weights(2, 2, "stratified", torch.zeros(())).exp()
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    if sampling == "weighted":
        return like.new_full((batch, batch), -math.log(examples * batch))
    others = math.log((examples - 1) / (examples * (batch - 1)))
    itself = torch.eye(batch, dtype=torch.bool, device=like.device)
    return like.new_full((batch, batch), others).masked_fill(itself, -math.log(examples))
