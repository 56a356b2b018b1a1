r"""Data whose entries are missing because of what they are: the mask is data too.

.. math::
    p(x_{\mathrm{obs}}, s) = \int p(z)\, p(x_{\mathrm{obs}}|z)\, p(x_{\mathrm{mis}}|z)\,
    p(s|x_{\mathrm{obs}}, x_{\mathrm{mis}})\, dz\, dx_{\mathrm{mis}} \qquad
    q(z|x_{\mathrm{obs}})\, p(x_{\mathrm{mis}}|z)

::

    z ──► x_obs ──► s      x_obs ──► z ──► x_mis
    │               ▲      guide
    └───► x_mis ────┘
    model

People with a high income tell it less often: leaving the missing entries out, as
:mod:`pyro_vae.programs.missing` does, then learns incomes that are too low. Here p(s|x) says which
values go missing, the missing entries are latents of their own, and the guide draws them from the
model's own p(x|z), so that both densities of theirs cancel in the importance weights.

What p(s|x) is cannot be found from the data alone: say what you know of it, such as that entries
go missing by their own values: ``SelfMasking``, which this module offers, too.

Ipsen, Mattei and Frellsen 2021, *not-MIWAE: Deep Generative Modelling with Missing not at Random
Data*.
"""

from __future__ import annotations

from typing import cast

import pyro
import pyro.distributions as dist
import torch
from pyro.poutine.runtime import InferDict
from torch import Tensor, nn

from pyro_vae.networks.self_masking import SelfMasking

from .missing import known, supported
from .registration import Program

__all__ = ["Guide", "Model", "SelfMasking"]

#: A site of data that nobody saw: drawn as latents are, but no unit of the code.
UNSEEN = cast(InferDict, {"unseen_data": True})


class Model(Program):
    """p(x, s, z) = p(z) p(x|z) p(s|x).

    Args:
        prior: ``prior() -> p(z)``.
        likelihood: ``likelihood(z, mask=mask) -> p(x|z)``.
        missingness: the network ``x -> logits`` of each entry to be *known*, ``(*batch, *event)``
            to the same shape: ``SelfMasking``, or any network from x to x's shape.

    Call: ``model(x)`` with nan for what is missing, or ``model(x, mask)``, as
    :class:`pyro_vae.programs.missing.Model`. Sites: ``z``, ``x`` (observed), ``x_missing`` (a
    latent), ``mask`` (observed). Returns x with what was drawn in the missing entries.

    Raises ``ValueError`` for a noise scale ``"optimal"``, which would be taken from the entries
    that the model itself made up; for a mask as there.

    >>> from pyro_vae.likelihoods import Normal
    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.priors import StandardNormal
    >>> model = Model(StandardNormal(2), Normal(MLP(2, 3)), SelfMasking(3, 3, missing="high"))
    >>> model(torch.tensor([[1.0, float("nan"), 3.0]])).detach()[0, [0, 2]]
    tensor([1., 3.])
    """

    def __init__(self, prior: nn.Module, likelihood: nn.Module, missingness: nn.Module) -> None:
        super().__init__()
        if getattr(likelihood, "scale", None) == "optimal":
            raise ValueError(
                "scale='optimal' counts every error that it scores, here those of made-up entries "
                "too: take scale='shared'"
            )
        self.prior = prior
        self.likelihood = likelihood
        self.missingness = missingness

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x, mask = known(x, mask)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior())
            p = self.likelihood(z, mask=mask)
            seen = pyro.sample("x", p, obs=supported(x, mask, p))
            unseen = pyro.sample("x_missing", self.likelihood(z, mask=~mask))
            whole = torch.where(mask, seen, unseen)
            s = dist.Bernoulli(logits=self.missingness(whole)).to_event(x.dim() - 1)
            pyro.sample("mask", s, obs=mask.to(whole))
            return whole


class Guide(Program):
    """q(z|x_obs) p(x_missing|z).

    Args:
        posterior: ``posterior(x) -> q(z|x)``.
        likelihood: the model's, from which the missing entries are drawn. Its parameters stay the
            model's: they are no part of this module.
        append_mask: show the mask to the posterior, as in :class:`pyro_vae.programs.missing.Guide`.

    Call: as :class:`Model`. Returns z ``(batch, latent)``.

    >>> from pyro_vae.likelihoods import Normal
    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> guide = Guide(DiagonalNormal(MLP(3, 2 * 2)), Normal(MLP(2, 3)))
    >>> guide(torch.tensor([[1.0, float("nan"), 3.0]])).shape
    torch.Size([1, 2])
    """

    def __init__(
        self, posterior: nn.Module, likelihood: nn.Module, append_mask: bool = False
    ) -> None:
        super().__init__()
        self.posterior = posterior
        self.proposal = (likelihood,)  # in a tuple: no submodule, so theta is the model's alone
        self.append_mask = append_mask

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x, mask = known(x, mask)
        seen = torch.cat([x, mask.to(x)], dim=1) if self.append_mask else x
        (likelihood,) = self.proposal
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.posterior(seen))
            pyro.sample("x_missing", likelihood(z, mask=~mask), infer=UNSEEN.copy())
            return z
