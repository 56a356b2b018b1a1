"""Priors over the codes of a codebook: independent, or one code after the other."""

from __future__ import annotations

from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.nn.functional import linear, one_hot

from pyro_vae.priors import Prior

from .codebook import Codebook, Codes


class IndependentCodes(Prior):
    r"""Each code by itself: :math:`p(k) = \prod_m \pi_m(k_m)`, learned, equal at first.

    >>> prior = IndependentCodes(Codebook(size=8, width=2, codes=3))
    >>> round(prior().log_prob(torch.zeros(5, 6))[0].exp().item() * 8**3, 4)
    1.0
    """

    def __init__(self, codebook: Codebook) -> None:
        super().__init__()
        self.codebook = codebook
        self.logits = nn.Parameter(torch.zeros(codebook.codes, codebook.size))

    def forward(self) -> Codes:
        return Codes(dist.Categorical(logits=self.logits).to_event(1), self.codebook)


class AutoregressiveCodes(Prior):
    r"""Each code given those before it: :math:`p(k) = \prod_m p(k_m|k_1, \ldots, k_{m-1})`.

    One masked network, of one hidden layer, gives all the logits in one pass; a sample takes a
    pass for each code. Germain, Gregor, Murray and Larochelle 2015, *MADE*.

    Args:
        codebook: of the codes.
        hidden: width of the network for each code.

    >>> prior = AutoregressiveCodes(Codebook(size=8, width=2, codes=3), hidden=4)
    >>> prior().sample((5,)).shape
    torch.Size([5, 6])
    """

    first: Tensor
    second: Tensor

    def __init__(self, codebook: Codebook, hidden: int = 64) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden is the width of the network for each code, not {hidden}")
        self.codebook = codebook
        codes, size = codebook.codes, codebook.size
        self.input = nn.Linear(codes * size, codes * hidden)
        self.output = nn.Linear(codes * hidden, codes * size)
        # Hidden units of place m hear the codes before m, and logits of place m those up to m.
        place = torch.arange(codes)
        before = place.unsqueeze(-1) > place
        up_to = place.unsqueeze(-1) >= place
        blocks = torch.ones(hidden, size, dtype=torch.bool), torch.ones(size, hidden).bool()
        self.register_buffer("first", torch.kron(before, blocks[0]), persistent=False)
        self.register_buffer("second", torch.kron(up_to, blocks[1]), persistent=False)

    def logits(self, k: Tensor) -> Tensor:
        """Logits of each code given those before it, ``(*batch, codes, size)``."""
        hot = one_hot(k, self.codebook.size).flatten(-2).to(self.input.weight.dtype)
        h = linear(hot, self.input.weight * self.first, self.input.bias).relu()
        output = linear(h, self.output.weight * self.second, self.output.bias)
        return output.unflatten(-1, (self.codebook.codes, self.codebook.size))

    def forward(self) -> Codes:
        return Codes(_InOrder(self), self.codebook)


class _InOrder(dist.TorchDistribution):
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, prior: AutoregressiveCodes, batch: torch.Size | None = None) -> None:
        self.prior = prior
        event = torch.Size([prior.codebook.codes])
        super().__init__(batch or torch.Size(), event, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> _InOrder:
        return _InOrder(self.prior, torch.Size(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        each = dist.Categorical(logits=self.prior.logits(value))
        return each.log_prob(value).sum(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self.shape(torch.Size(sample_shape))
        k = torch.zeros(shape, dtype=torch.int64, device=self.prior.input.weight.device)
        for m in range(self.event_shape[0]):
            drawn = dist.Categorical(logits=self.prior.logits(k)[..., m, :]).sample()
            k = torch.where(torch.arange(shape[-1], device=k.device) == m, drawn[..., None], k)
        return k
