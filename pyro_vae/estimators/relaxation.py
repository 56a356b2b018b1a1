"""Discrete samples that gradients flow through, at the price of a bias."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions.utils import clamp_probs

from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.kl import KL, family
from pyro_vae.terms.site import SiteTerm
from pyro_vae.terms.table import Terms


def relaxed_sample(fn: Any, temperature: float | Tensor, hard: bool) -> Tensor:
    r"""A sample of a ``OneHotCategorical`` or ``Bernoulli`` with a gradient, of the same shape.

    .. math:: z = \mathrm{softmax}\bigl((\log\pi + g) / \tau\bigr), \qquad
        z = \mathrm{sigmoid}\bigl((\mathrm{logit}\,\pi + l) / \tau\bigr)

    with Gumbel noise g and logistic noise l. ``hard`` gives the discrete value itself, which is
    distributed exactly as ``fn`` at any temperature, with the gradient of the soft one.

    >>> import pyro.distributions as dist
    >>> _ = torch.manual_seed(0)
    >>> relaxed_sample(dist.OneHotCategorical(torch.ones(2, 3)), 0.5, hard=True).sum(-1)
    tensor([1., 1.])
    """
    logits = _base(fn).logits.expand(fn.shape())
    uniform = clamp_probs(torch.rand_like(logits))
    if family(fn) == "Bernoulli":
        noisy = logits + uniform.log() - (-uniform).log1p()
        soft = torch.sigmoid(noisy / temperature)
        value = (noisy > 0).to(soft.dtype)
    else:
        noisy = logits - (-uniform.log()).log()
        soft = torch.softmax(noisy / temperature, -1)
        value = torch.zeros_like(soft).scatter(-1, noisy.argmax(-1, keepdim=True), 1.0)
    # What is added is zero exactly, so that the value stays in the support.
    return value + (soft - soft.detach()) if hard else soft


def check_relaxed(terms: Terms, site: SiteTerm, estimator: str, kl: KL) -> None:
    """Raise :class:`ProgramError` where a relaxed site's KL cannot be taken in closed form.

    Its densities are those of discrete values, and have no gradient in the value.
    """
    why = _obstacle(terms, site, kl)
    if why is not None:
        raise ProgramError(f"site {site.name!r} cannot take estimator {estimator!r}: {why}")


def _obstacle(terms: Terms, site: SiteTerm, kl: KL) -> str | None:
    if kl == "sampled":
        return "its KL is taken in closed form; use ELBO(kl='auto')"
    if site.kind != "latent":
        return "it is in the guide alone, and has no KL; use 'score'"
    orders = [
        [name for name in trace.nodes if name in terms and terms[name].kind == "latent"]
        for trace in terms.traces[0]
    ]
    before_in_model, before_in_guide = (order[: order.index(site.name)] for order in orders)
    late = [name for name in before_in_model if name not in before_in_guide]
    if late:
        return (
            f"the guide draws {late[0]!r}, a possible parent of its prior, after it, so its KL has "
            "no closed form; draw in the model's order, or use 'leave-one-out'"
        )
    if site.kl is None:
        return (
            f"no closed form of the KL is registered for {family(site.q)} against "
            f"{family(site.p)}; use 'leave-one-out'"
        )
    return None


def _base(fn: Any) -> Any:
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return fn
