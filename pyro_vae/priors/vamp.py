"""A mixture of the posteriors of made-up data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ._mixture import mixture
from .base import Prior
from .checks import check_count


class VampPrior(Prior):
    r"""A mixture of the guide's own posteriors at learned pseudo-inputs.

    .. math:: p(z) = \sum_k \pi_k\, q(z | u_k)

    The best prior for the bound is the aggregate posterior :math:`\frac1N \sum_n q(z|x_n)`, which
    overfits and costs N terms; this is its parametric stand-in. The posterior is the *same*
    module as the guide's: its parameters train through both, and are registered once.

    The pseudo-inputs :math:`u_k` are free, or kept inside ``bounds`` by a sigmoid (smooth, so
    that none can get stuck at an end, as clipped ones do): ``(0, 1)`` for images. Free ones may
    leave the range of the data; the prior is a proper one all the same.

    The density costs ``components`` passes of the encoder a step, and ``components`` densities of
    q for each z. A q whose density at foreign points is dear (an inverse autoregressive flow
    inverts itself one dimension after the other) makes a dear prior.

    Tomczak and Welling 2018, *VAE with a VampPrior*.

    Args:
        posterior: the guide's posterior, x ``(*batch, *shape)`` to q(z|x) over ``(*batch,)``.
        shape: event shape of x.
        components: number of pseudo-inputs.
        learned_weights: whether the weights :math:`\pi_k` are learned; else they stay equal.
        bounds: least and greatest value of a pseudo-input; ``None`` leaves them free.

    Raises ``ValueError`` where ``components`` is not positive or ``bounds`` are not in order.

    >>> from pyro_vae.posteriors import DiagonalNormal
    >>> posterior = DiagonalNormal(nn.Linear(5, 2 * 3))
    >>> prior = VampPrior(posterior, 5, components=7)
    >>> prior.initialize(torch.rand(100, 5))
    >>> prior().batch_shape, prior().event_shape
    (torch.Size([]), torch.Size([3]))
    """

    def __init__(
        self,
        posterior: nn.Module,
        shape: int | Sequence[int],
        components: int = 500,
        learned_weights: bool = False,
        bounds: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        check_count("components", components)
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError(f"bounds are (least, greatest), not {tuple(bounds)}")
        self.posterior = posterior
        self.bounds = None if bounds is None else (float(bounds[0]), float(bounds[1]))
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.raw_inputs = nn.Parameter(torch.randn(components, *self.shape))
        weights = torch.zeros(components)
        self.logits: Tensor
        if learned_weights:
            self.logits = nn.Parameter(weights)
        else:
            self.register_buffer("logits", weights, persistent=False)

    @property
    def pseudo_inputs(self) -> Tensor:
        """u, shape ``(components, *shape)``."""
        if self.bounds is None:
            return self.raw_inputs
        low, high = self.bounds
        return low + (high - low) * self.raw_inputs.sigmoid()

    @torch.no_grad()
    def initialize(self, x: Tensor, generator: torch.Generator | None = None) -> None:
        """Make the pseudo-inputs a random choice of data, without repetition where x suffices.

        Args:
            x: data ``(N, *shape)``.
            generator: where the choice comes from.

        Values at ``bounds`` or beyond are taken 1/20 of the range inside, where the sigmoid has a
        gradient. Raises ``ValueError`` for data of another shape, or none.
        """
        if tuple(x.shape[1:]) != self.shape or len(x) == 0:
            raise ValueError(
                f"VampPrior.initialize takes data of shape (N, {', '.join(map(str, self.shape))}), "
                f"not {tuple(x.shape)}"
            )
        count = len(self.raw_inputs)
        turns = math.ceil(count / len(x))
        order = torch.cat([torch.randperm(len(x), generator=generator) for _ in range(turns)])
        chosen = x[order[:count].to(x.device)].to(self.raw_inputs)
        if self.bounds is not None:
            low, high = self.bounds
            chosen = ((chosen - low) / (high - low)).clamp(0.05, 0.95).logit()
        self.raw_inputs.copy_(chosen)

    def forward(self) -> dist.TorchDistribution:
        parts = self.posterior(self.pseudo_inputs)
        return mixture(self.logits, parts)
