"""A density thinned by an accept-or-reject step."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn.functional import logsigmoid


class Resampled(TorchDistribution):
    r"""Draws of ``base``, each accepted with probability a(z), the T-th in any case.

    .. math:: p(z) = \pi(z) \Big[ a(z) \frac{1 - (1 - Z)^{T-1}}{Z} + (1 - Z)^{T-1} \Big],
        \qquad Z = \mathbb E_\pi[a(z)]

    Args:
        base: the proposal :math:`\pi`, event shape ``(latent,)``.
        acceptance: z ``(*batch, latent)`` to the logit of a(z), ``(*batch, 1)``.
        log_mean: log Z, a scalar.
        truncation: T.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector
    has_rsample = False

    def __init__(
        self,
        base: TorchDistribution,
        acceptance: nn.Module,
        log_mean: Tensor,
        truncation: int,
    ) -> None:
        self.base, self.acceptance = base, acceptance
        self.log_mean, self.truncation = log_mean, truncation
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Resampled:
        return Resampled(
            self.base.expand(batch_shape), self.acceptance, self.log_mean, self.truncation
        )

    def log_prob(self, value: Tensor) -> Tensor:
        log_a = logsigmoid(self.acceptance(value).squeeze(-1))
        # log (1 - Z)^(T-1), the probability that the last draw is taken whatever it is.
        exhausted = (self.truncation - 1) * log1mexp(self.log_mean)
        if self.truncation == 1:
            return self.base.log_prob(value)
        accepted = log_a + log1mexp(exhausted) - self.log_mean
        return self.base.log_prob(value) + torch.logaddexp(accepted, exhausted)

    @torch.no_grad()
    def sample(self, sample_shape: Any = ()) -> Tensor:
        # All T draws at once and the first accepted: a loop until acceptance would be a number of
        # steps that depends on the data, which no compiled step can hold.
        proposals = self.base.sample((self.truncation, *sample_shape))
        accepted = torch.rand_like(proposals[..., 0]) < self.acceptance(proposals)[..., 0].sigmoid()
        last = torch.ones_like(accepted[-1:])
        first = torch.cat([accepted[:-1], last]).to(torch.uint8).argmax(0)
        index = first[None, ..., None].expand(1, *proposals.shape[1:])
        return proposals.gather(0, index)[0]


def log1mexp(value: Tensor) -> Tensor:
    r"""log(1 - exp(v)) for v < 0, in full precision at both ends.

    >>> log1mexp(torch.tensor([-1e-10, -50.0]).double())
    tensor([-2.3026e+01, -1.9287e-22], dtype=torch.float64)
    """
    # Zero is where no float is left below it: held just off, so that no infinity follows.
    value = value.clamp(max=-torch.finfo(value.dtype).tiny)
    near = value > -0.6931471805599453
    close = torch.where(near, value, -1.0)
    far = torch.where(near, -1.0, value)
    return torch.where(near, (-torch.expm1(close)).log(), torch.log1p(-far.exp()))
